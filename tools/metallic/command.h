// SPDX-License-Identifier: Apache-2.0
// Subcommands and their options. CLI11, which parses them, is seen by few files: its templates cost seconds of compile time in
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "tools/metallic/exit.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace metallic::cli {

/// The chosen subcommand, to run after parsing.
using Action = std::function<Result<Exit>()>;

/// An option of a subcommand; a handle, whose calls can be chained.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}
  Option required() const;
  Option type(const std::string& name) const;  ///< what help prints for its value, e.g. "FILE"
  Option show_default() const;                 ///< help prints the value that the variable has now
  Option one_of(const std::vector<std::string>& values) const;
  Option between(int64_t least, int64_t most) const;
  Option between(double least, double most) const;
  Option split_at(char separator) const;    ///< one word may hold several values
  Option count(int least, int most) const;  ///< of values
  Option excludes(Option other) const;
  Option needs(Option other) const;

 private:
  CLI::Option* option_;
};

/// A subcommand that is being defined. Names with dashes are options, others are positions. The variables outlive parsing.
class Command {
 public:
  /// Adds the subcommand. `chosen` is called after parsing if the command line names it.
  Command(CLI::App& app, const std::string& name, const std::string& description, std::function<void()> chosen);

  Option option(const std::string& name, std::string& value, const std::string& help) const;
  Option option(const std::string& name, std::vector<std::string>& values, const std::string& help) const;
  Option option(const std::string& name, int64_t& value, const std::string& help) const;
  Option option(const std::string& name, size_t& value, const std::string& help) const;
  Option option(const std::string& name, double& value, const std::string& help) const;
  Option flag(const std::string& name, bool& value, const std::string& help) const;

  /// An option whose text `parse` reads. It returns what is wrong with the text, or nothing.
  using Parse = std::function<std::optional<std::string>(const std::string& text)>;
  Option option(const std::string& name, Parse parse, const std::string& help) const;

  Option find(const std::string& name) const;  ///< an option that was added; throws if there is none
  void hide() const;                           ///< from help and completion

 private:
  CLI::App* command_;
};

/// Adds a subcommand with its options in a struct: `setup` binds them, `run` receives them.
template <typename Options, typename Setup, typename Run>
void add_command(CLI::App& app, Action& action, const char* name, const char* description, Setup setup, Run run) {
  auto options = std::make_shared<Options>();
  const Command command(app, name, description, [options, run, &action] { action = [options, run] { return run(*options); }; });
  setup(command, *options);
}

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

}  // namespace metallic::cli
