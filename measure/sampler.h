// The sampler: times the candidates of many problems in paired random blocks. It never sees the dispatcher, so that no
// choice can bias a measurement.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/executor.h"
#include "core/planner.h"
#include "core/status.h"
#include "formats/records.h"
#include "measure/operands.h"
#include "models/problems.h"

namespace metallic {

struct SamplerOptions {
  double budget_s = 60;  ///< sampling stops when the next round would not fit, but not before `least_blocks`
  int least_blocks = 4;  ///< two for each half of a cross-fit
  int most_blocks = 60;
  double arm_s = 2e-4;  ///< how long an arm runs at least, so that the clock's resolution does not matter
  /// A candidate this many times slower than the best after two blocks is timed no more: it cannot be chosen, and its
  /// time is worth more elsewhere.
  double hopeless = 4;
  uint64_t seed = 1;
  /// By operation: softmax both ways; the weights of a matmul cold, K and V of an sdpa too, as decoding reads them.
  std::array<std::vector<Cache>, kOps.size()> caches = {{{Cache::warm, Cache::cold}, {Cache::cold}, {Cache::cold}}};
  std::function<bool(const Variant&)> wanted = [](const Variant& variant) { return variant.family != "reference"; };
  /// Called between blocks with the share of the budget used and what is being timed; false stops early.
  std::function<bool(double share, std::string_view what)> progress = [](double, std::string_view) { return true; };
};

/// Checks every candidate's result against the oracle, then times all of them: a round visits every problem and cache state
/// and times one block there, a block is a random permutation of its live candidates. Cold operands rotate through a buffer of
/// twice the last-level cache. Weights are split evenly over a problem's cache states. Where libraries are candidates, an arm
/// waits until the threads of the one before sleep, 0.3 s at most.
/// Errors: a problem beyond this machine's memory, a candidate with a wrong result.
Result<std::vector<SampleRow>> sample(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                      Planner& planner, const SamplerOptions& options);

}  // namespace metallic
