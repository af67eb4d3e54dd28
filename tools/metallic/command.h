// What all subcommands share: how they register themselves and how they end.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/status.h"

namespace metallic::cli {

/// Exit codes of the program; bad usage and bad input (2) are errors that a command returns.
/// `inconclusive`: measured, but not well enough to say or to install; `interrupted`: by Ctrl-C, as shells have it.
enum class Exit : int { done = 0, check_failed = 1, bad_input = 2, inconclusive = 3, interrupted = 130 };

/// What the command line asked for, to be run once parsing is done.
using Action = std::function<Result<Exit>()>;

/// Each adds one subcommand, which sets `action` when it is chosen.
void add_devices(CLI::App& app, Action& action);
void add_list(CLI::App& app, Action& action);
void add_models(CLI::App& app, Action& action);
void add_env(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_collect(CLI::App& app, Action& action);
void add_analyze(CLI::App& app, Action& action);
void add_apply(CLI::App& app, Action& action);
void add_tune(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_regret(CLI::App& app, Action& action);
void add_validate(CLI::App& app, Action& action);
void add_gate(CLI::App& app, Action& action);
void add_bench_worker(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);
void add_completion(CLI::App& app, Action& action);

/// A subcommand whose options live in a struct: `setup` binds them, `run` gets them.
template <typename Options, typename Setup, typename Run>
CLI::App* add_command(CLI::App& app, Action& action, const char* name, const char* description, Setup setup, Run run) {
  CLI::App* command = app.add_subcommand(name, description);
  auto options = std::make_shared<Options>();
  setup(*command, *options);
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace metallic::cli
