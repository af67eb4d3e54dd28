// The clock as it is, and the arms that follow from clocks as they might be.
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

// What the facts promise, against the clock itself: no two readings lie closer than most of the resolution.
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

TEST(Clock, SaysHowLongAnArmMustRun) {
  EXPECT_EQ(min_sample_seconds({.resolution_s = 1e-9, .call_s = 20e-9}), 1e-4);
  for (const ClockInfo clock : {ClockInfo{4e-7, 2e-8}, ClockInfo{1e-6, 1e-6}, ClockInfo{4e-3, 1e-8}}) {
    const double arm = min_sample_seconds(clock);
    EXPECT_LE((clock.resolution_s + clock.call_s) / arm, 1.0001e-3);
    EXPECT_LT(arm, 1100 * (clock.resolution_s + clock.call_s)) << "longer than it must";
  }
}

}  // namespace
}  // namespace metallic
