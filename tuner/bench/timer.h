// The timer: one checked call of a kernel, and its time over as many calls as the clock needs.
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

/// Runs a kernel once and compares its result with the oracle's, at as many places as take some 10⁶ operations. Gives the
/// seconds that the run took, a first estimate. `who` is the variant in errors: a failed run, a wrong result.
Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who, Operands& operands,
                            Executor& executor, uint64_t seed);

/// How many results to check: an element of a matmul costs K, a softmax row seq_k, an sdpa row seq_k·head_dim; some 10⁶
/// operations a check.
size_t affordable_checks(const Problem& problem);

class Timer {
 public:
  Timer(Operands& operands, Executor& executor, double min_sample_s) : operands_(operands), executor_(executor), min_sample_s_(min_sample_s) {}

  /// Seconds of one call, the mean over as many as fill the arm's time, and how many these were, after a burn-in that is not
  /// counted. `call_s` is what one call takes as far as is known, > 0.
  std::pair<double, int64_t> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s);

 private:
  Operands& operands_;
  Executor& executor_;
  double min_sample_s_;
};

}  // namespace metallic
