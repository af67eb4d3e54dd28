// SPDX-License-Identifier: Apache-2.0
// metallic env: the environment variables, their allowed values and their settings.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {
namespace {

struct Options {
  bool json = false;
};

Result<Exit> run(const Options& options) {
  const Lookup lookup = process_environment();
  auto json = Json::array();
  for (const auto& variable : environment_table()) {
    const auto value = lookup(variable.name);
    if (options.json)
      json.push_back({{"name", variable.name},
                      {"values", variable.values},
                      {"meaning", variable.meaning},
                      {"value", value ? Json(*value) : Json(nullptr)}});
    else
      fmt::print("{:<38} {}\n    {}\n    values: {}\n", variable.name, value ? in_quotes(*value) : "unset", variable.meaning,
                 variable.values);
  }
  if (options.json) fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  METALLIC_CHECK(context(""));  // reports invalid settings after the table
  return Exit::done;
}

}  // namespace

void add_env(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "env", "list the environment variables, their allowed values and their settings",
      [](const Command& command, Options& options) { command.flag("--json", options.json, "print JSON"); }, run);
}

}  // namespace metallic::cli
