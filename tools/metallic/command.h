// SPDX-License-Identifier: Apache-2.0
// Subcommands: each adds itself to the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/status.h"
#include "tools/metallic/exit.h"

namespace metallic::cli {

/// The chosen subcommand, to run after parsing.
using Action = std::function<Result<Exit>()>;

/// Each adds one subcommand, which sets `action` if it is chosen.
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

/// Adds a subcommand with its options in a struct: `setup` binds them, `run` receives them.
template <typename Options, typename Setup, typename Run>
CLI::App* add_command(CLI::App& app, Action& action, const char* name, const char* description, Setup setup, Run run) {
  CLI::App* command = app.add_subcommand(name, description);
  auto options = std::make_shared<Options>();
  setup(*command, *options);
  command->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
  return command;
}

}  // namespace metallic::cli
