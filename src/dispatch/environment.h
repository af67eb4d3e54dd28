// SPDX-License-Identifier: Apache-2.0
// The environment: every variable that Metallic reads, in one table, checked when a context is made.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "ops/operation.h"
#include "ops/rule.h"

namespace metallic {

struct Environment {
  /// The variant that is forced, by its operation's name: a short name or a variant's full name; never "auto".
  std::map<std::string, std::string, std::less<>> variants;
  Limits limits;                       ///< of the built-in rules
  std::optional<std::string> profile;  ///< a path, or "none"
  Numerics numerics = Numerics::fast;
  LogLevel log_level = LogLevel::warning;
  std::optional<int> threads;
  bool profiler = false;              ///< times every run of a plan
  std::optional<std::string> trace;   ///< a file for the timed runs
  std::optional<std::string> record;  ///< a file for the problems that ran
};

/// One row of the table.
struct EnvironmentVariable {
  std::string_view name;
  std::string values;  ///< what is allowed, for people
  std::string_view meaning;
  std::function<Status(std::string_view value, std::string_view name, Environment& environment)> read;
};

std::span<const EnvironmentVariable> environment_table();

/// "auto, vec, block": the values of the variable that forces a variant of the operation, besides variants' full names.
std::string short_words(Op op);

/// Gives a variable's value, or nothing where it is unset. `std::getenv` in programs, a map in tests.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
Lookup process_environment();

/// Variables of the process that are named METALLIC_… and are none of ours: misspelt, most likely.
std::vector<std::string> unknown_variables();

/// Reads all variables once. An unset or empty one leaves its default; an unknown value is an error that lists the allowed ones.
/// Names of variants are checked later, against the table of the device.
Result<Environment> read_environment(const Lookup& lookup);

}  // namespace metallic
