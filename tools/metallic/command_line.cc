// SPDX-License-Identifier: Apache-2.0
#include "tools/metallic/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

#include "base/build.h"
#include "device/cpu/amx.h"
#include "tools/metallic/command.h"

namespace metallic::cli {
namespace {

// The example at the end of the help of each subcommand.
constexpr std::pair<std::string_view, std::string_view> kExamples[] = {
    {"tune", "--model llama-3.1-8b --budget 2min"},
    {"explain", "matmul 4096x4096x8 --dtype bf16"},
    {"devices", "--json"},
    {"list", "--op softmax"},
    {"models", "llama-3.1-8b"},
    {"env", "--json"},
    {"bench", "--shapes rows64_seqk256..4096 128x4096x4096_tb --format md"},
    {"collect", "softmax.json matmul.json --out results.csv"},
    {"analyze", "results.csv --output-dir tuning"},
    {"apply", "tuning/profile.json --dry-run"},
    {"validate", "--quick --op softmax"},
    {"regret", "--samples other/samples.csv --profile tuning/profile.json"},
    {"gate", "--base ../main/build/release/metallic --head build/release/metallic --budget 2min"},
    {"report", "tuning"},
    {"arms", "< requests.jsonl"},
    {"completion", "bash > ~/.local/share/bash-completion/completions/metallic"},
};

int run(int argc, char** argv) {
  CLI::App app("Finds the fastest kernel for each transformer operation on this machine, and runs it.");
  app.name("metallic");
  app.set_version_flag("--version", std::string(build_name()));
  app.require_subcommand(1);
  app.footer(
      "Start with: metallic tune --model llama-3.1-8b\n"
      "metallic COMMAND --help lists options and an example, metallic env the environment variables.\n"
      "Profiles are installed in $XDG_DATA_HOME/metallic (~/.local/share/metallic), reports are written to ./metallic-tuning.\n"
      "Exit codes: 0 done; 1 a check failed, or an internal error; 2 bad usage, bad input, or an unusable file;\n"
      "3 inconclusive: measured, but not well enough to decide.");
  Action action;
  for (const auto add : {add_tune, add_explain, add_devices, add_list, add_models, add_env, add_bench, add_collect, add_analyze,
                         add_apply, add_regret, add_validate, add_gate, add_report, add_completion, add_bench_worker})
    add(app, action);
  for (const auto& [command, example] : kExamples)
    app.get_subcommand(std::string(command))->footer(fmt::format("Example: metallic {} {}", command, example));
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);  // --help, --version
  } catch (const CLI::ParseError& error) {
    const bool unknown = app.get_subcommands().empty() && !app.remaining().empty();
    std::string message = unknown ? "unknown subcommand " + in_quotes(app.remaining().front()) : error.what();
    std::ranges::replace(message, '\n', ' ');
    const auto chosen = app.get_subcommands();
    message += fmt::format(": see metallic {}--help", chosen.empty() ? "" : chosen.front()->get_name() + " ");
    fmt::print(stderr, "metallic: {}\n", one_line(message));
    return static_cast<int>(Exit::bad_input);
  }
  // What the program lists and times must be what runs, so it learns at once whether Linux grants AMX. The answer is kept.
  if (cpu::has_amx()) static_cast<void>(cpu::request_amx());
  const Result<Exit> ended = action();
  if (ended) return static_cast<int>(*ended);
  fmt::print(stderr, "metallic: {}\n", ended.error().message);
  return static_cast<int>(ended.error().code == Code::internal ? Exit::check_failed : Exit::bad_input);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "metallic: out of memory: use smaller shapes or files\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "metallic: {}\n", one_line(error.what()));
  }
  return static_cast<int>(Exit::bad_input);
}

}  // namespace metallic::cli
