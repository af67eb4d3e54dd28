// SPDX-License-Identifier: Apache-2.0
// Times kernels on the CPU with std::chrono::steady_clock.
#include "tuner/bench/timer.h"

#include <algorithm>
#include <cmath>

#include "ops/label.h"
#include "tuner/operation/operation.h"
#include "tuner/verify/oracle.h"

namespace metallic {

size_t affordable_checks(const Problem& problem) {
  const auto terms = static_cast<double>(tuner_operation(problem.op()).terms(problem));
  return static_cast<size_t>(std::clamp(1e5 / std::max(terms, 1.0), 4.0, 256.0));
}

Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who, Operands& operands,
                            Executor& executor, uint64_t seed) {
  const Args args = operands.next(problem, cache);
  const std::vector<std::byte> before = prepare_output(problem, args, seed + 2);
  const auto begin = Clock::now();
  if (const Code code = kernel.run(args, operands.workspace(), executor); code != Code::ok)
    return fail(code, "{} on {} failed: {}", who, label(problem), name(code));
  const double seconds = std::max(seconds_since(begin), 1e-9);
  if (const auto wrong = first_difference(problem, args, before.data(), affordable_checks(problem), seed))
    return fail(Code::internal, "{} computes {} wrongly: {}", who, label(problem), *wrong);
  return seconds;
}

std::pair<double, int64_t> Timer::time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) {
  // Warm-up: a fifth of the sample, at least one call, sets caches, branch predictors and clock frequency as this kernel does. A
  // call that takes twenty samples needs none: the effect is below the noise, and a second call would double the cost.
  if (call_s < 20 * min_sample_s_)
    for (double spent = 0; spent <= 0.2 * min_sample_s_; spent += call_s)
      kernel.run(operands_.next(problem, cache), operands_.workspace(), executor_);
  const auto iterations = static_cast<int64_t>(std::clamp(std::ceil(min_sample_s_ / call_s), 1.0, 1e6));
  const auto begin = Clock::now();
  for (int64_t i = 0; i < iterations; ++i) kernel.run(operands_.next(problem, cache), operands_.workspace(), executor_);
  return {seconds_since(begin) / static_cast<double>(iterations), iterations};
}

}  // namespace metallic
