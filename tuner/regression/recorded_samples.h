// SPDX-License-Identifier: Apache-2.0
// The gate on recorded samples: pairs two files by benchmark and block.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tuner/io/records.h"

namespace metallic::tune {

/// A kernel on a problem in a cache state.
struct GateBenchmark {
  std::string label, dtype, cache, variant, tuning;
  int64_t threads = 0;  ///< 0: unknown
  auto operator<=>(const GateBenchmark&) const = default;
};

/// One line, e.g. `1x4096x4096_tb bf16 cold cpu_gemv@unroll=4`.
std::string to_string(const GateBenchmark& benchmark);

struct Recording {
  std::string device = "unknown";  ///< the fingerprint in the rows
  std::string build = "unknown";
  std::map<GateBenchmark, std::vector<std::pair<int64_t, double>>> times;  ///< block and ns, sorted by block
};

/// Reads samples.csv. Errors: unknown labels and types, times that are not positive, rows of several devices, a benchmark twice
/// in a block, more than 10,000 benchmarks.
Result<Recording> read_recording(std::string_view text, std::string_view where);

struct Pairing {
  std::vector<GateBenchmark> benchmarks;         ///< in both files
  std::vector<std::vector<double>> differences;  ///< for each, ln(t_head / t_base) by block
  std::vector<std::string> notes;                ///< one line each: what has no partner or is unknown
};

/// Pairs the blocks of both files in their order. Above 1024 blocks, groups of successive blocks become their median. Two
/// different devices are an error.
Result<Pairing> pair_recordings(const Recording& base, const Recording& head);

}  // namespace metallic::tune
