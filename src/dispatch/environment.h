// SPDX-License-Identifier: Apache-2.0
// The environment: every variable that Metallic reads, in one table, checked when a context is created.
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
  /// The forced variant by operation name: a short name or a variant's full name; never "auto".
  std::map<std::string, std::string, std::less<>> variants;
  Limits limits;                       ///< overrides of the built-in limits
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
  std::string values;  ///< the allowed values, for people
  std::string_view meaning;
  std::function<Status(std::string_view value, std::string_view name, Environment& environment)> read;
};

std::span<const EnvironmentVariable> environment_table();

/// "auto, vec, block": what the variable that forces a variant of the operation accepts, besides full names of variants.
std::string short_words(Op op);

/// Returns a variable's value, or nothing if it is unset. Programs use `std::getenv`, tests a map.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
Lookup process_environment();

/// Variables of the process that are named METALLIC_… but that Metallic does not know: most likely misspelt.
std::vector<std::string> unknown_variables();

/// Reads all variables once. An unset or empty one keeps its default; an invalid value is an error that lists the allowed ones.
/// Variant names are checked later, against the device's table.
Result<Environment> read_environment(const Lookup& lookup);

}  // namespace metallic
