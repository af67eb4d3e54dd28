// SPDX-License-Identifier: Apache-2.0
// Block effects: the fit removes what blocks share and nothing else. Candidates and halves of the blocks stay independent.
#include "tuner/stats/block_effects.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Times by candidate and block from their logarithms.
Series series_of(const std::vector<std::vector<double>>& log_times) {
  Series series;
  for (size_t candidate = 0; candidate < log_times.size(); ++candidate) {
    series.candidates.push_back({{fmt::format("v{}", candidate), ""}, {}});
    for (const double log_time : log_times[candidate]) series.candidates.back().time.push_back(std::exp(log_time));
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

TEST(BlockEffects, SharedDisturbanceIsRemoved) {
  Draw draw(1);
  const std::vector<double> candidates = {7, 7.3, 9};
  std::vector<std::vector<double>> logs(3);
  for (int block = 0; block < 12; ++block) {
    const double shared = 2 * draw.normal();
    for (size_t candidate = 0; candidate < 3; ++candidate) logs[candidate].push_back(candidates[candidate] + shared);
  }
  const BlockEffects found = fit_block_effects(series_of(logs));
  for (size_t candidate = 0; candidate < 3; ++candidate) {
    EXPECT_NEAR(found.median[candidate] - found.median[0], candidates[candidate] - candidates[0], 1e-9);
    for (const double log_time : found.log_time[candidate]) EXPECT_NEAR(log_time, found.median[candidate], 1e-9);
    EXPECT_NEAR(found.median[candidate], median(logs[candidate]), 1e-9) << "the typical block keeps its time";
  }
  EXPECT_NEAR(found.deviation, 0, 1e-9);
  EXPECT_EQ(found.freedom, 3 * 12 - 3 - 12 + 1);
}

TEST(BlockEffects, AnOutlierStaysAResidual) {
  Draw draw(2);
  std::vector<std::vector<double>> logs(4);
  for (int block = 0; block < 20; ++block)
    for (size_t candidate = 0; candidate < 4; ++candidate)
      logs[candidate].push_back(static_cast<double>(candidate) + 0.01 * draw.normal());
  const BlockEffects steady = fit_block_effects(series_of(logs));
  logs[1][5] += std::log(30);
  const BlockEffects found = fit_block_effects(series_of(logs));
  for (size_t candidate = 0; candidate < 4; ++candidate) {
    EXPECT_NEAR(found.median[candidate], steady.median[candidate], 0.004);
    if (candidate != 1) {
      EXPECT_NEAR(found.log_time[candidate][5], steady.log_time[candidate][5], 0.03)
          << "the other candidates of its block move little";
    }
  }
  EXPECT_GT(found.log_time[1][5] - found.median[1], 3.3);
  EXPECT_NEAR(found.deviation, steady.deviation, 0.003);
}

TEST(BlockEffects, TheDeviationIsThatOfOneTiming) {
  for (const size_t candidates : {2, 3, 8}) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(candidates);
      for (int block = 0; block < 15; ++block) {
        const double shared = 0.3 * draw.normal();
        for (auto& candidate : logs) candidate.push_back(shared + 0.05 * draw.normal());
      }
      sum += fit_block_effects(series_of(logs)).deviation / 400;
    }
    EXPECT_NEAR(sum, 0.05, 0.006) << candidates << " candidates";
  }
}

// One candidate is timed in the first blocks only, while the machine slows down by half: its own median would flatter it by 0.2.
TEST(BlockEffects, ADroppedCandidateComparesWithoutBias) {
  double bias = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Draw draw(seed);
    std::vector<std::vector<double>> logs(4);
    for (int block = 0; block < 20; ++block) {
      const double shared = 0.5 * block / 19 + 0.1 * std::abs(draw.normal());
      for (size_t candidate = 0; candidate < 4; ++candidate)
        logs[candidate].push_back(
            candidate == 3 && block >= 4 ? kMissing : 0.1 * static_cast<double>(candidate) + shared + 0.02 * draw.normal());
    }
    const BlockEffects found = fit_block_effects(series_of(logs));
    bias += (found.median[3] - found.median[0] - 0.3) / 200;
    EXPECT_TRUE(std::isnan(found.log_time[3][10]));
  }
  EXPECT_NEAR(bias, 0, 0.006);
}

// Cross-fitting needs this: a candidate that was lucky in the even blocks must not look lucky in the odd ones.
TEST(BlockEffects, HalvesOfTheBlocksAreIndependent) {
  for (const size_t candidates : {2, 3, 4}) {
    std::vector<double> even, odd;
    for (uint64_t seed = 0; seed < 4000; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(candidates);
      for (int block = 0; block < 12; ++block) {
        const double shared = 0.2 * draw.normal();
        for (auto& candidate : logs) candidate.push_back(shared + 0.05 * draw.normal());
      }
      const BlockEffects found = fit_block_effects(series_of(logs));
      const auto lead = [&](size_t parity) {  // of the first candidate on the second
        std::vector<double> first, second;
        for (size_t block = parity; block < 12; block += 2)
          first.push_back(found.log_time[0][block]), second.push_back(found.log_time[1][block]);
        return median(first) - median(second);
      };
      even.push_back(lead(0));
      odd.push_back(lead(1));
    }
    EXPECT_NEAR(correlation(even, odd), 0, 0.06) << candidates << " candidates";  // four standard errors
  }
}

TEST(BlockEffects, OneCandidateOrBlockGivesNoDeviation) {
  const BlockEffects one_candidate = fit_block_effects(series_of({{1, 2, 3}})),
                     one_block = fit_block_effects(series_of({{1}, {2}, {kMissing}}));
  for (const BlockEffects& found : {one_candidate, one_block}) EXPECT_EQ(found.deviation, 0);
  EXPECT_NEAR(one_candidate.median[0], 2, 1e-12);
  EXPECT_NEAR(one_block.median[1], 2, 1e-12);
  EXPECT_TRUE(std::isnan(one_block.median[2])) << "never timed";
}

TEST(BlockEffects, AutocorrelationIsEstimated) {
  const auto estimate = [](double correlation, int blocks) {
    std::vector<BlockEffects> all;
    for (uint64_t seed = 0; seed < 60; ++seed) {
      Draw draw(seed);
      std::vector<std::vector<double>> logs(3);
      std::vector<double> state(3);
      for (double& each : state) each = draw.normal();
      for (int block = 0; block < blocks; ++block) {
        const double shared = 0.1 * draw.normal();
        for (size_t candidate = 0; candidate < 3; ++candidate) {
          logs[candidate].push_back(shared + 0.05 * state[candidate]);
          state[candidate] = correlation * state[candidate] + std::sqrt(1 - correlation * correlation) * draw.normal();
        }
      }
      all.push_back(fit_block_effects(series_of(logs)));
    }
    return autocorrelation(all);
  };
  EXPECT_NEAR(estimate(0.5, 40), 0.5, 0.1);
  EXPECT_LT(estimate(0, 40), 0.05);
  EXPECT_EQ(estimate(0.5, 7), 0) << "too short";
  EXPECT_EQ(autocorrelation({}), 0);
}

}  // namespace
}  // namespace metallic::tune
