// SPDX-License-Identifier: Apache-2.0
// Clock: its measured resolution and cost, and the sample length for clocks of several kinds.
#include "tuner/bench/clock.h"

#include <gtest/gtest.h>

#include <chrono>

namespace metallic {
namespace {

TEST(Clock, IsMeasured) {
  const ClockInfo clock = measure_clock();
  EXPECT_GE(clock.resolution_s, 1e-9) << "a steady clock counts nanoseconds at best";
  EXPECT_LT(clock.resolution_s, 0.05) << "no tick was seen";
  EXPECT_GT(clock.call_s, 1e-10);
  EXPECT_LT(clock.call_s, 1e-4);
}

// Checks the resolution against the clock itself: hardly any two readings differ by less.
TEST(Clock, ResolvesNoFinerThanItSays) {
  using Steady = std::chrono::steady_clock;
  const ClockInfo clock = measure_clock();
  int closer = 0;
  auto last = Steady::now();
  for (int i = 0; i < 1000; ++i) {
    const auto now = Steady::now();
    closer += now != last && std::chrono::duration<double>(now - last).count() < clock.resolution_s / 2;
    last = now;
  }
  EXPECT_LT(closer, 10);
}

TEST(Clock, SetsTheSampleLength) {
  EXPECT_EQ(min_sample_seconds({.resolution_s = 1e-9, .call_s = 20e-9}), 1e-4);
  for (const ClockInfo clock : {ClockInfo{4e-7, 2e-8}, ClockInfo{1e-6, 1e-6}, ClockInfo{4e-3, 1e-8}}) {
    const double sample = min_sample_seconds(clock);
    EXPECT_LE((clock.resolution_s + clock.call_s) / sample, 1.0001e-3);
    EXPECT_LT(sample, 1100 * (clock.resolution_s + clock.call_s)) << "longer than necessary";
  }
}

}  // namespace
}  // namespace metallic
