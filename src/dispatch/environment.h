// The environment: every variable that Metallic reads, in one table, checked when a context is made.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "profile/rule.h"
#include "base/log.h"
#include "base/status.h"

namespace metallic {

struct Environment {
  std::optional<std::string> softmax_variant;  ///< "vec", "block" or a variant's full name; never "auto"
  std::optional<std::string> matmul_backend;   ///< "gemv", "mlx" or a variant's full name; never "auto"
  std::optional<std::string> sdpa_variant;     ///< a variant's full name; never "auto"
  std::optional<int64_t> softmax_vec_block_threshold;
  std::optional<int64_t> matmul_smalln_max_n;
  std::optional<int64_t> matmul_simd_m_min;
  std::optional<int64_t> matmul_simd_n_min;
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
  std::string_view values;  ///< what is allowed, for people
  std::string_view meaning;
  Status (*read)(std::string_view value, std::string_view name, Environment& environment);
};

std::span<const EnvironmentVariable> environment_table();

/// Gives a variable's value, or nothing where it is unset. `std::getenv` in programs, a map in tests.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;
Lookup process_environment();

/// Variables of the process that are named METALLIC_… and are none of ours: misspelt, most likely.
std::vector<std::string> unknown_variables();

/// Reads all variables once. An unset or empty one leaves its default; an unknown value is an error that lists the allowed ones.
/// Names of variants are checked later, against the table of the device.
Result<Environment> read_environment(const Lookup& lookup);

}  // namespace metallic
