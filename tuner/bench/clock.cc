// SPDX-License-Identifier: Apache-2.0
// Measures the resolution and cost of std::chrono::steady_clock.
#include "tuner/bench/clock.h"

#include <algorithm>
#include <array>
#include <chrono>

namespace metallic {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point begin, Clock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

// Skips the first difference: the first reading may fall anywhere within a tick.
double smallest_difference() {
  constexpr double kMost = 0.05;
  constexpr int kEnough = 1000;
  double smallest = kMost;
  const auto begin = Clock::now();
  auto last = begin;
  for (int seen = 0; seen < kEnough && seconds_between(begin, last) < kMost;) {
    const auto now = Clock::now();
    if (now == last) continue;
    if (last != begin) smallest = std::min(smallest, seconds_between(last, now));
    last = now;
    ++seen;
  }
  return smallest;
}

double median_call() {
  constexpr int kCalls = 100;
  std::array<double, 21> batches;
  for (double& batch : batches) {
    const auto begin = Clock::now();
    auto end = begin;
    for (int i = 0; i < kCalls; ++i) end = Clock::now();
    batch = seconds_between(begin, end) / kCalls;
  }
  std::ranges::nth_element(batches, batches.begin() + batches.size() / 2);
  return batches[batches.size() / 2];
}

}  // namespace

double now_s() { return std::chrono::duration<double>(Clock::now().time_since_epoch()).count(); }

ClockInfo measure_clock() { return {.resolution_s = smallest_difference(), .call_s = median_call()}; }

double min_sample_seconds(const ClockInfo& clock) { return std::max(1e-4, 1000 * (clock.resolution_s + clock.call_s)); }

}  // namespace metallic
