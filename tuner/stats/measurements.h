// SPDX-License-Identifier: Apache-2.0
// Measurements: samples grouped by problem, candidate and block, the form that all analysis works on.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ops/problem.h"
#include "ops/rule.h"
#include "tuner/io/records.h"

namespace metallic::tune {

/// A kernel by name: a variant and its tuning.
struct KernelConfig {
  std::string variant;
  std::string tuning;  ///< `k=v;k=v`
  auto operator<=>(const KernelConfig&) const = default;
};

/// The config as people write it: `cpu_vec@unroll=4`.
std::string to_string(const KernelConfig& config);

/// The times of one candidate in ns, one for each block of its series; NaN if the block lacks it.
struct CandidateTimes {
  KernelConfig config;
  std::vector<double> time;

  int64_t timed_blocks() const;
};

/// One problem in one cache state: candidates × blocks.
struct Series {
  Problem problem;
  std::string label;
  std::string cache;  ///< cold, warm or unknown
  double weight = 1;
  std::vector<CandidateTimes> candidates;  ///< sorted by config
  std::vector<double> at_s = {};           ///< start of each block, in seconds since the run began; empty if not recorded

  size_t blocks() const { return candidates.empty() ? 0 : candidates.front().time.size(); }
  /// The times of a config; null if it was not timed.
  const CandidateTimes* find(const KernelConfig& config) const;
};

struct Measurements {
  bool paired = true;              ///< false if the blocks are repetitions that were not timed together
  std::string device = "unknown";  ///< the fingerprint in the rows
  std::string build = "unknown";
  std::vector<Series> series;  ///< in the order of first appearance
  int64_t timed = 0;           ///< rows used
};

/// Groups rows. Skips the pseudo-variants `auto` and `noop` and variants of the family "reference". Errors: unknown labels and
/// dtypes, times that are not finite and positive, rows of several devices, a candidate twice in a block. `unknown_threads` is
/// the thread count of rows that do not have theirs.
Result<Measurements> from_samples(std::span<const SampleRow> rows, std::string_view where, int unknown_threads);
Result<Measurements> from_results(std::span<const ResultRow> rows, std::string_view where, int unknown_threads);

}  // namespace metallic::tune
