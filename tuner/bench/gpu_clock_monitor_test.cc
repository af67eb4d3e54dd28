// SPDX-License-Identifier: Apache-2.0
// The GPU clock monitor with simulated GPUs: steady, idle between blocks, power-capped, hot.
#include "tuner/bench/gpu_clock_monitor.h"

#include <gmock/gmock.h>

#include <functional>

namespace metallic {
namespace {

using testing::HasSubstr;

constexpr int kReadings = 400;

NoiseRecord record_of(const std::function<cuda::ClockReading(int)>& reading) {
  GpuClockReadings readings;
  for (int i = 0; i < kReadings; ++i) readings.add(reading(i));
  return readings.record();
}

TEST(GpuClockMonitor, ASteadyCardIsCalm) {
  const NoiseRecord record = record_of([](int i) { return cuda::ClockReading{.mhz = 1980, .celsius = 40 + i / 40}; });
  EXPECT_EQ(record, (NoiseRecord{.readings = kReadings,
                                 .gpu = GpuNoise{.least_mhz = 1980, .median_mhz = 1980, .most_mhz = 1980, .most_celsius = 49}}));
  EXPECT_EQ(judge(record).trust, Trust::quiet);
}

TEST(GpuClockMonitor, IdleClocksSayNothing) {
  const NoiseRecord record = record_of(
      [](int i) { return i % 2 ? cuda::ClockReading{.mhz = 1980} : cuda::ClockReading{.mhz = 345, .reasons = cuda::kGpuIdle}; });
  EXPECT_EQ(record.readings, kReadings / 2);
  EXPECT_EQ(record.gpu->least_mhz, 1980);
  EXPECT_EQ(judge(record).trust, Trust::quiet);
  EXPECT_EQ(record_of([](int) { return cuda::ClockReading{.mhz = 345, .reasons = cuda::kGpuIdle}; }), NoiseRecord{});
}

TEST(GpuClockMonitor, APowerCapDisturbs) {
  const NoiseRecord record = record_of([](int i) {
    return i % 3 ? cuda::ClockReading{.mhz = 1980} : cuda::ClockReading{.mhz = 1755, .reasons = cuda::kSwPowerCap};
  });
  EXPECT_NEAR(record.gpu->power_cap_share, 1.0 / 3, 0.01);
  EXPECT_EQ(judge(record).trust, Trust::disturbed);
  EXPECT_THAT(judge(record).why, HasSubstr("the power cap limited the clock in 34 % of 400 readings"));
}

TEST(GpuClockMonitor, AHotCardMustCool) {
  const NoiseRecord record = record_of([](int i) {
    return i < kReadings / 2 ? cuda::ClockReading{.mhz = 1980, .celsius = 70}
                             : cuda::ClockReading{.mhz = 1200, .reasons = cuda::kSwThermalSlowdown, .celsius = 88};
  });
  EXPECT_GT(record.drift, 0.4) << "cycles became longer";
  EXPECT_EQ(judge(record).trust, Trust::busy);
  EXPECT_THAT(judge(record).why, HasSubstr("88 °C"));
  EXPECT_THAT(judge(record).why, HasSubstr("let it cool"));
}

TEST(GpuClockMonitor, ACardThatIsNotThereIsNotWatched) {
  GpuClockMonitor monitor({.id = "cpu", .backend = "cpu"});
  monitor.sample();
  EXPECT_EQ(monitor.record(), NoiseRecord{});
}

}  // namespace
}  // namespace metallic
