// SPDX-License-Identifier: Apache-2.0
// Noise monitor: simulated machines that are steady, jittery, throttled or busy, and this machine.
#include "tuner/bench/noise_monitor.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "device/cpu/thread_pool.h"

namespace metallic {
namespace {

using testing::HasSubstr;

constexpr int kReadings = 600;

NoiseRecord record_of(int count, const std::function<double(int)>& reading) {
  NoiseReadings readings;
  for (int i = 0; i < count; ++i) readings.take(reading(i));
  return readings.record();
}

class Noise : public testing::Test {
 protected:
  double jitter(double share) { return 1 + share * normal_(random_); }
  bool chance(double share) { return uniform_(random_) < share; }

 private:
  std::mt19937_64 random_{11};
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
};

TEST_F(Noise, OfASteadyMachineIsNone) {
  const NoiseRecord record = record_of(kReadings, [](int) { return 75e-6; });
  EXPECT_EQ(record, (NoiseRecord{.readings = kReadings}));
  EXPECT_EQ(judge(record).trust, Trust::quiet);
  EXPECT_EQ(judge(record).why, "");
}

TEST_F(Noise, OfJitterIsQuiet) {
  const NoiseRecord record = record_of(kReadings, [&](int) { return 75e-6 * jitter(0.05); });
  EXPECT_LT(record.disturbed_share, 0.10);
  EXPECT_LT(std::abs(record.drift), 0.05);
  EXPECT_LT(std::abs(record.autocorrelation), 0.15);
  const Judgement judgement = judge(record);
  EXPECT_EQ(judgement.trust, Trust::quiet) << judgement.why;
  EXPECT_LT(judgement.widening, 1.2);
}

// Bursts of another virtual machine on an idle host: factors of 1.2 to 1.5 in a quarter of the readings.
TEST_F(Noise, OfASharedMachineIsDisturbed) {
  const NoiseRecord record = record_of(kReadings, [&](int) { return 75e-6 * (chance(0.25) ? 1.35 * jitter(0.05) : 1); });
  EXPECT_NEAR(record.disturbed_share, 0.25, 0.06);
  EXPECT_EQ(record.lost_share, 0);
  const Judgement judgement = judge(record);
  EXPECT_EQ(judgement.trust, Trust::disturbed);
  EXPECT_THAT(judgement.why, HasSubstr("of 600 readings of the reference workload took over 1.15 times the undisturbed time"));
}

TEST_F(Noise, OfLostTimeSlicesIsBusy) {
  NoiseRecord record = record_of(kReadings, [&](int) { return 75e-6 * (chance(0.31) ? 100 : jitter(0.01)); });
  EXPECT_NEAR(record.lost_share, 0.31, 0.06);
  EXPECT_EQ(judge(record).trust, Trust::busy);
  record.cpus = 2;
  record.others_share = 0.45;
  const Judgement judgement = judge(record);
  EXPECT_THAT(judgement.why, HasSubstr("other programs used 0.9 of 2 cores"));
  EXPECT_THAT(judgement.why, testing::EndsWith(": wait until it is idle"));
}

TEST_F(Noise, OfFullContentionIsDetectedFromFewUndisturbedReadings) {
  const NoiseRecord record = record_of(kReadings, [&](int) { return chance(0.75) ? 12e-3 * jitter(0.1) : 75e-6; });
  EXPECT_GT(record.lost_share, 0.6);
  EXPECT_EQ(judge(record).trust, Trust::busy);
}

// A clock that falls for good half-way through: the readings settle at a new level, and the change is drift.
TEST_F(Noise, OfAThrottledClockIsDrift) {
  const NoiseRecord record = record_of(kReadings, [&](int i) { return 75e-6 * (i < kReadings / 2 ? 1 : 1.3) * jitter(0.01); });
  EXPECT_LT(record.disturbed_share, 0.05) << "only those next to the step";
  EXPECT_NEAR(record.drift, std::log(1.3), 0.03);
  EXPECT_GT(record.autocorrelation, 0.5);
  const Judgement judgement = judge(record);
  EXPECT_EQ(judgement.trust, Trust::disturbed);
  EXPECT_GT(judgement.widening, 1.5);
  EXPECT_NEAR(judgement.shift, (std::log(1.3) - 0.05) / 2, 0.02);
  EXPECT_THAT(judgement.why, HasSubstr("% slower"));

  const NoiseRecord faster = record_of(kReadings, [&](int i) { return 75e-6 * (i < kReadings / 2 ? 1.3 : 1) * jitter(0.01); });
  EXPECT_NEAR(faster.drift, -std::log(1.3), 0.03);
  EXPECT_THAT(judge(faster).why, HasSubstr("% faster"));

  const NoiseRecord middle =
      record_of(kReadings, [&](int i) { return 75e-6 * (i / (kReadings / 3) == 1 ? 1.8 : 1) * jitter(0.01); });
  EXPECT_NEAR(std::abs(middle.drift), std::log(1.8), 0.03);
  EXPECT_EQ(judge(middle).trust, Trust::busy);
}

// Readings that lost time slices count as twice the undisturbed time: no work became two hundred times slower.
TEST_F(Noise, OfLossesDriftsByTwoAtMost) {
  const NoiseRecord record = record_of(60, [&](int i) { return 75e-6 * (i >= 40 ? 200 : jitter(0.01)); });
  EXPECT_LE(record.drift, std::log(2) + 0.05);
  EXPECT_GE(record.drift, 0.5);
}

TEST_F(Noise, OfALinearDrift) {
  const NoiseRecord record = record_of(kReadings, [&](int i) { return 75e-6 * (1 + 0.3 * i / kReadings) * jitter(0.01); });
  EXPECT_NEAR(record.drift, std::log(1.2 / 1.0), 0.06);  // between thirds, not between the ends
  EXPECT_EQ(judge(record).trust, Trust::disturbed);
}

TEST_F(Noise, ThatIsCorrelatedWidens) {
  double state = 0;
  const NoiseRecord record = record_of(20 * kReadings, [&](int) {
    state = 0.6 * state + 0.8 * (jitter(1) - 1);  // variance 1, autocorrelation 0.6
    return 75e-6 * std::exp(0.03 * state);
  });
  EXPECT_NEAR(record.autocorrelation, 0.6, 0.06);
  const Judgement judgement = judge(record);
  EXPECT_EQ(judgement.trust, Trust::disturbed);
  EXPECT_NEAR(judgement.widening, 2, 0.2);
  EXPECT_THAT(judgement.why, HasSubstr("times as wide"));

  // As correlated, but tiny: intervals need no widening.
  state = 0;
  const NoiseRecord tiny = record_of(20 * kReadings, [&](int) {
    state = 0.6 * state + 0.8 * (jitter(1) - 1);
    return 75e-6 * std::exp(0.001 * state);
  });
  EXPECT_NEAR(tiny.autocorrelation, 0.6, 0.06);
  EXPECT_EQ(judge(tiny).trust, Trust::quiet);
}

TEST_F(Noise, OfFewReadingsIsQuiet) {
  EXPECT_EQ(judge(record_of(0, [](int) { return 1.0; })).trust, Trust::quiet);
  EXPECT_EQ(judge(record_of(1, [](int) { return 1.0; })).trust, Trust::quiet);
  EXPECT_EQ(judge(record_of(3, [](int i) { return i == 1 ? 1.3 : 1.0; })).trust, Trust::quiet);
  const NoiseRecord record = record_of(8, [](int i) { return i == 3 ? 100.0 : 1.0; });
  EXPECT_EQ(record.lost_share, 1.0 / 8);
  EXPECT_EQ(judge(record).trust, Trust::quiet);
}

TEST_F(Noise, IgnoresInvalidReadings) {
  const double odd[] = {std::nan(""), std::numeric_limits<double>::infinity(), 0.0, -1.0};
  EXPECT_EQ(record_of(400, [&](int i) { return i % 5 < 4 ? odd[i % 5] : 75e-6; }), (NoiseRecord{.readings = 80}));
  EXPECT_EQ(record_of(4, [&](int i) { return odd[i]; }), NoiseRecord());
  NoiseReadings readings;
  readings.take(75e-6);
  EXPECT_FALSE(readings.is_disturbed(std::nan("")));
}

TEST_F(Noise, OfOthersIsBusyOnlyIfTheyUseMuch) {
  NoiseRecord record{.readings = 100, .cpus = 16, .steal_share = 0.0, .others_share = 0.1};
  EXPECT_EQ(judge(record).trust, Trust::quiet);
  record.others_share = 0.3;
  EXPECT_EQ(judge(record).trust, Trust::disturbed);
  EXPECT_THAT(judge(record).why, HasSubstr("other programs used 4.8 of 16 cores"));
  record.others_share = 0.8;
  EXPECT_EQ(judge(record).trust, Trust::busy);
  record.others_share = 0.0;
  record.steal_share = 0.2;
  EXPECT_EQ(judge(record).trust, Trust::busy);
  EXPECT_THAT(judge(record).why, HasSubstr("the hypervisor took 20 % of the CPU time"));
}

TEST_F(Noise, OfAnExhaustedQuotaIsBusy) {
  NoiseRecord record{.readings = 100, .throttled_share = 0.0, .throttled_s = 0.0};
  EXPECT_EQ(judge(record).trust, Trust::quiet);
  record.throttled_share = 0.005;
  EXPECT_EQ(judge(record).trust, Trust::disturbed);
  record.throttled_share = 0.43;
  record.throttled_s = 3.21;
  EXPECT_EQ(judge(record).trust, Trust::busy);
  EXPECT_EQ(
      judge(record).why,
      "the machine was busy: the CPU quota ran out in 43.0 % of its periods and withheld 3.21 s of CPU time: use fewer threads "
      "or raise the quota");
}

TEST(NoiseReadings, ComparesWithTheLatest) {
  NoiseReadings readings;
  EXPECT_FALSE(readings.is_disturbed(1)) << "nothing to compare with";
  for (int i = 0; i < 20; ++i) readings.take(1);
  EXPECT_FALSE(readings.is_disturbed(1.1));
  EXPECT_TRUE(readings.is_disturbed(1.2));
  for (int i = 0; i < 40; ++i) readings.take(1.3);
  EXPECT_FALSE(readings.is_disturbed(1.3)) << "the level follows";
}

TEST(NoiseReadings, ReadsATwentiethOfTheTimeAtMost) {
  EXPECT_TRUE(NoiseReadings::affords_reading(0, 0)) << "the first";
  EXPECT_TRUE(NoiseReadings::affords_reading(1, 0.05));
  EXPECT_FALSE(NoiseReadings::affords_reading(1, 0.051));
}

TEST(NoiseReadings, WaitsATenthOfTheTimeAtMost) {
  EXPECT_EQ(NoiseReadings::pause_s(0, 0.005, 0), 0) << "a short run is not kept waiting";
  EXPECT_EQ(NoiseReadings::pause_s(0, 1, 0), 1e-3);
  EXPECT_EQ(NoiseReadings::pause_s(3, 1, 0), 8e-3);
  EXPECT_EQ(NoiseReadings::pause_s(60, 1, 0), 64e-3);
  // A machine that is always disturbed.
  double elapsed = 0, waited = 0;
  while (elapsed < 60) {
    elapsed += 5e-3;
    for (int attempt = 0;; ++attempt) {
      const double pause = NoiseReadings::pause_s(attempt, elapsed, waited);
      if (pause == 0) break;
      elapsed += pause;
      waited += pause;
    }
  }
  EXPECT_LE(waited, 6.1);
  EXPECT_GE(waited, 5.5);
}

TEST(NoiseMonitor, CostsLittleAndKeepsTheRecord) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  cpu::Pool pool(2);
  NoiseMonitor monitor(pool);
  const auto begin = Clock::now();
  double spent = 0, slowest = 0;
  while (since(begin) < 0.6) {
    const double once = monitor.before_block();
    spent += once;
    slowest = std::max(slowest, once);
    const auto block = Clock::now();
    while (since(block) < 2e-3) {
    }
  }
  EXPECT_LE(spent, 0.15 * since(begin) + slowest) << "the last one may exceed the limit";
  const NoiseRecord record = monitor.record();
  EXPECT_GE(record.readings, 1);
  EXPECT_LE(record.readings, 300);
  EXPECT_LE(record.waited_s, spent);
  EXPECT_GE(record.cpus, 1);
}

}  // namespace
}  // namespace metallic
