// Effects: what blocks share is taken out, and nothing else: not what arms are, nor what one half of the blocks says.
#include "tuner/stats/block_effects.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tuner/stats/statistics.h"

namespace metallic::tune {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Times by arm and block from their logarithms.
Series series_of(const std::vector<std::vector<double>>& log_times) {
  Series series;
  for (size_t arm = 0; arm < log_times.size(); ++arm) {
    series.arms.push_back({{fmt::format("v{}", arm), ""}, {}});
    for (const double log_time : log_times[arm]) series.arms.back().time.push_back(std::exp(log_time));
  }
  return series;
}

class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}
  double normal() { return normal_(random_); }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0;
  const auto n = static_cast<double>(x.size());
  for (size_t i = 0; i < x.size(); ++i) sx += x[i], sy += y[i], xx += x[i] * x[i], yy += y[i] * y[i], xy += x[i] * y[i];
  return (xy - sx * sy / n) / std::sqrt((xx - sx * sx / n) * (yy - sy * sy / n));
}

TEST(Effects, WhatBlocksShareIsGone) {
  Draw draw(1);
  const std::vector<double> arms = {7, 7.3, 9};
  std::vector<std::vector<double>> logs(3);
  for (int block = 0; block < 12; ++block) {
    const double shared = 2 * draw.normal();
    for (size_t arm = 0; arm < 3; ++arm) logs[arm].push_back(arms[arm] + shared);
  }
  const Effects found = effects(series_of(logs));
  for (size_t arm = 0; arm < 3; ++arm) {
    EXPECT_NEAR(found.middle[arm] - found.middle[0], arms[arm] - arms[0], 1e-9);
    for (const double log_time : found.log_time[arm]) EXPECT_NEAR(log_time, found.middle[arm], 1e-9);
    EXPECT_NEAR(found.middle[arm], median(logs[arm]), 1e-9) << "times stay as long as they were";
  }
  EXPECT_NEAR(found.deviation, 0, 1e-9);
  EXPECT_EQ(found.freedom, 3 * 12 - 3 - 12 + 1);
}

TEST(Effects, AnOutlierStaysARest) {
  Draw draw(2);
  std::vector<std::vector<double>> logs(4);
  for (int block = 0; block < 20; ++block)
    for (size_t arm = 0; arm < 4; ++arm) logs[arm].push_back(static_cast<double>(arm) + 0.01 * draw.normal());
  const Effects calm = effects(series_of(logs));
  logs[1][5] += std::log(30);
  const Effects found = effects(series_of(logs));
  for (size_t arm = 0; arm < 4; ++arm) {
    EXPECT_NEAR(found.middle[arm], calm.middle[arm], 0.004);
    if (arm != 1) {
      EXPECT_NEAR(found.log_time[arm][5], calm.log_time[arm][5], 0.03) << "the others of its block pay little";
    }
  }
  EXPECT_GT(found.log_time[1][5] - found.middle[1], 3.3);
  EXPECT_NEAR(found.deviation, calm.deviation, 0.003);
}

TEST(Effects, TheDeviationIsThatOfOneTiming) {
  for (const size_t arms : {2, 3, 8}) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(arms);
      for (int block = 0; block < 15; ++block) {
        const double shared = 0.3 * draw.normal();
        for (auto& arm : logs) arm.push_back(shared + 0.05 * draw.normal());
      }
      sum += effects(series_of(logs)).deviation / 400;
    }
    EXPECT_NEAR(sum, 0.05, 0.006) << arms << " arms";
  }
}

// One is timed in the first blocks alone, while the machine slows down by half: its own median would flatter it by 0.2.
TEST(Effects, WhatWasDroppedComparesWithoutBias) {
  double bias = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Draw draw(seed);
    std::vector<std::vector<double>> logs(4);
    for (int block = 0; block < 20; ++block) {
      const double shared = 0.5 * block / 19 + 0.1 * std::abs(draw.normal());
      for (size_t arm = 0; arm < 4; ++arm)
        logs[arm].push_back(arm == 3 && block >= 4 ? kMissing : 0.1 * static_cast<double>(arm) + shared + 0.02 * draw.normal());
    }
    const Effects found = effects(series_of(logs));
    bias += (found.middle[3] - found.middle[0] - 0.3) / 200;
    EXPECT_TRUE(std::isnan(found.log_time[3][10]));
  }
  EXPECT_NEAR(bias, 0, 0.006);
}

// Cross-fitting rests on this: an arm that was lucky in the even blocks must not look lucky in the odd ones.
TEST(Effects, HalvesOfTheBlocksAreIndependent) {
  for (const size_t arms : {2, 3, 4}) {
    std::vector<double> even, odd;
    for (uint64_t seed = 0; seed < 4000; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(arms);
      for (int block = 0; block < 12; ++block) {
        const double shared = 0.2 * draw.normal();
        for (auto& arm : logs) arm.push_back(shared + 0.05 * draw.normal());
      }
      const Effects found = effects(series_of(logs));
      const auto lead = [&](size_t parity) {  // of the first arm on the second
        std::vector<double> first, second;
        for (size_t block = parity; block < 12; block += 2)
          first.push_back(found.log_time[0][block]), second.push_back(found.log_time[1][block]);
        return median(first) - median(second);
      };
      even.push_back(lead(0));
      odd.push_back(lead(1));
    }
    EXPECT_NEAR(correlation(even, odd), 0, 0.06) << arms << " arms";  // four standard errors
  }
}

TEST(Effects, FewArmsOrBlocksSayNothingOfNoise) {
  const Effects one_arm = effects(series_of({{1, 2, 3}})), one_block = effects(series_of({{1}, {2}, {kMissing}}));
  for (const Effects& found : {one_arm, one_block}) EXPECT_EQ(found.deviation, 0);
  EXPECT_NEAR(one_arm.middle[0], 2, 1e-12);
  EXPECT_NEAR(one_block.middle[1], 2, 1e-12);
  EXPECT_TRUE(std::isnan(one_block.middle[2])) << "never timed";
}

TEST(Effects, AutocorrelationIsEstimated) {
  const auto estimate = [](double correlation, int blocks) {
    std::vector<Effects> all;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(3);
      std::vector<double> state(3);
      for (double& each : state) each = draw.normal();
      for (int block = 0; block < blocks; ++block) {
        const double shared = 0.1 * draw.normal();
        for (size_t arm = 0; arm < 3; ++arm) {
          logs[arm].push_back(shared + 0.05 * state[arm]);
          state[arm] = correlation * state[arm] + std::sqrt(1 - correlation * correlation) * draw.normal();
        }
      }
      all.push_back(effects(series_of(logs)));
    }
    return autocorrelation(all);
  };
  EXPECT_NEAR(estimate(0.5, 40), 0.5, 0.1);
  EXPECT_LT(estimate(0, 40), 0.05);
  EXPECT_EQ(estimate(0.5, 7), 0) << "too short to tell";
  EXPECT_EQ(autocorrelation({}), 0);
}

}  // namespace
}  // namespace metallic::tune
