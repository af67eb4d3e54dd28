// SPDX-License-Identifier: Apache-2.0
// Timer: checks one call of a kernel on the CPU, and times as many calls as the clock needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "tuner/bench/operands.h"

namespace metallic {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Runs a kernel once and compares `affordable_checks` elements of the result with the oracle. Returns the seconds of the run, a
/// first estimate. `who` names the variant in errors: a failed run, a wrong result.
Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who, Operands& operands,
                            Executor& executor, uint64_t seed);

/// How many elements or rows of a result to check, for about 10⁵ operations in all: an element of a matmul costs K, a row of
/// softmax seq_k, a row of sdpa seq_k·head_dim.
size_t affordable_checks(const Problem& problem);

class Timer {
 public:
  Timer(Operands& operands, Executor& executor, double min_sample_s)
      : operands_(operands), executor_(executor), min_sample_s_(min_sample_s) {}

  /// Seconds of one call, the mean over a sample, and its number of calls, after a warm-up that does not count. `call_s` > 0 is
  /// the estimate so far of one call.
  std::pair<double, int64_t> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s);

 private:
  Operands& operands_;
  Executor& executor_;
  double min_sample_s_;
};

}  // namespace metallic
