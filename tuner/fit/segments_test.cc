// SPDX-License-Identifier: Apache-2.0
// Segments: no way of cutting the axis costs less than the one found.
#include "tuner/fit/segments.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

namespace metallic::tune {
namespace {

// The least cost over every assignment of candidates to columns.
double least_cost(std::span<const LossColumn> columns, std::span<const double> penalties) {
  double least = std::numeric_limits<double>::infinity();
  const std::function<void(size_t, size_t, double)> place = [&](size_t column, size_t before, double cost) {
    if (column == columns.size()) {
      least = std::min(least, cost);
      return;
    }
    for (size_t c = 0; c < penalties.size(); ++c)
      place(column + 1, c, cost + columns[column].loss[c] + (c == before ? 0 : penalties[c]));
  };
  place(0, penalties.size(), 0);
  return least;
}

TEST(Segments, CostTheLeastThatIsPossible) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform;
  for (int trial = 0; trial < 300; ++trial) {
    const size_t candidates = 1 + random() % 3, places = 1 + random() % 7;
    std::vector<double> penalties;
    for (size_t c = 0; c < candidates; ++c) penalties.push_back(uniform(random) * static_cast<double>(trial % 3));
    std::vector<LossColumn> columns;
    for (size_t i = 0; i < places; ++i) {
      columns.push_back({.x = static_cast<int64_t>(i), .loss = {}});
      for (size_t c = 0; c < candidates; ++c) columns.back().loss.push_back(uniform(random));
    }
    const Segmentation found = fit_segments(columns, penalties);
    EXPECT_NEAR(found.cost, least_cost(columns, penalties), 1e-9);
    double cost = 0;
    size_t at = 0;
    for (const AxisSegment& segment : found.segments) {
      EXPECT_EQ(segment.begin, at) << "no gap, no overlap";
      ASSERT_LT(segment.begin, segment.end);
      cost += penalties[segment.candidate];
      for (; at < segment.end; ++at) cost += columns[at].loss[segment.candidate];
    }
    EXPECT_EQ(at, places);
    EXPECT_NEAR(found.cost, cost, 1e-9) << "the cost is that of these segments";
  }
}

TEST(Segments, APenaltyMergesThem) {
  const std::vector<LossColumn> columns = {{1, {0, 0.3}}, {2, {0.2, 0}}, {3, {0, 0.3}}};
  const auto count = [&](double penalty) { return fit_segments(columns, std::vector<double>(2, penalty)).segments.size(); };
  EXPECT_EQ(count(0.01), 3u);
  EXPECT_EQ(count(0.15), 1u) << "two more would cost 0.3 and save 0.2";
  EXPECT_TRUE(fit_segments({}, std::vector<double>(2, 0.1)).segments.empty());
}

TEST(Segments, OfEqualCandidatesTheFirstStays) {
  const std::vector<LossColumn> columns = {{1, {0.1, 0.1}}, {2, {0, 0}}};
  const Segmentation found = fit_segments(columns, std::vector<double>(2, 0.1));
  ASSERT_EQ(found.segments.size(), 1u);
  EXPECT_EQ(found.segments[0].candidate, 0u);
}

}  // namespace
}  // namespace metallic::tune
