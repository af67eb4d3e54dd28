// SPDX-License-Identifier: Apache-2.0
// Quantiles, ranks and autocorrelation on values whose answers are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/quantile.h"
#include "tuner/stats/ranks.h"

namespace metallic::tune {
namespace {

using testing::ElementsAre;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

TEST(Quantile, InterpolatesBetweenNeighbours) {
  std::vector<double> values = {4, 1, 3, 2};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(quantile(values, 0.1), 1.3);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(Median, LeavesOutNaN) {
  EXPECT_EQ(median({3, kNaN, 1, 2}), 2);
  EXPECT_EQ(median({1, 2}), 1.5);
  EXPECT_TRUE(std::isnan(median({kNaN})));
  EXPECT_EQ(median_absolute_deviation(std::vector<double>{1, 2, 3, kNaN, 10}, 2.5), 1);
}

TEST(Median, TheIntervalEnclosesItByOrderStatistics) {
  std::vector<double> values;
  for (int i = 1; i <= 20; ++i) values.push_back(i);
  const MedianInterval interval = median_interval(values);
  EXPECT_EQ(interval.median, 10.5);
  EXPECT_EQ(interval.low, 5) << "the 5th and 15th of 20 values enclose the median with 97.3 %";
  EXPECT_EQ(interval.high, 15);
}

TEST(Ranks, TiesShareTheirMeanRank) {
  EXPECT_THAT(doubled_ranks(std::vector<double>{5, 1, 5, 9}), ElementsAre(5, 2, 5, 8));
  EXPECT_THAT(doubled_ranks({}), ElementsAre());
}

TEST(Autocorrelation, SkipsGaps) {
  LagOneSums sums;
  sums.add(std::vector<double>{1, 2, kNaN, 3});
  EXPECT_EQ(sums.products, 1 * 2);
  EXPECT_EQ(sums.squares, 1 + 4 + 9);
  EXPECT_EQ(sums.squares_of_firsts, 1);
}

TEST(Autocorrelation, OfRanksIsThatOfTheSeries) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> values(2000);
  double state = 0;
  for (double& value : values) value = std::exp(state = 0.6 * state + 0.8 * normal(random));
  EXPECT_NEAR(rank_autocorrelation(values), 0.58, 0.05);
  EXPECT_NEAR(unbiased_rank_autocorrelation(values), rank_autocorrelation(values), 0.01);
  for (const auto& constant : {std::vector<double>(9, 1.0), std::vector<double>()}) {
    EXPECT_EQ(rank_autocorrelation(constant), 0);
    EXPECT_EQ(unbiased_rank_autocorrelation(constant), 0);
  }
}

TEST(Autocorrelation, InflatesTheVarianceButNeverDeflatesIt) {
  EXPECT_DOUBLE_EQ(variance_inflation(0.5), 3);
  EXPECT_EQ(variance_inflation(-0.5), 1);
  EXPECT_DOUBLE_EQ(variance_inflation(1), 19) << "limited to 0.9";
}

}  // namespace
}  // namespace metallic::tune
