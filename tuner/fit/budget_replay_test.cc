// SPDX-License-Identifier: Apache-2.0
// The course of a run: what it tells agrees with the allocation that made it, and samples without times tell nothing.
#include "tuner/fit/budget_replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "ops/label.h"
#include "ops/softmax/shape.h"
#include "tuner/fit/allocation.h"

namespace metallic::tune {
namespace {

// Two clear problems and one whose candidates are close, timed as an allocation asks for it, a tenth of a second a block.
struct Simulated {
  Measurements measurements;
  double expected_residual;
};

Simulated run() {
  std::vector<Series> series;
  for (const int64_t keys : {64, 512, 4096}) {
    Series& one = series.emplace_back(Series{.problem = softmax_problem(4, keys)});
    one.label = label(one.problem);
    one.candidates = {{{"cpu_block", ""}, {}}, {{"cpu_vec", ""}, {}}};
  }
  Allocation allocation(series, std::vector<double>(series.size(), 0.1), {.enough = 0});
  std::vector<std::vector<double>> at_s(series.size());
  std::mt19937_64 random(5);
  std::normal_distribution<double> noise(0, 0.05);
  double now = 0.05;
  for (; now < 6; now += 0.1) {
    const auto turn = allocation.next(6 - now);
    if (!turn) break;
    const double slower = turn->series == 1 ? 1.01 : 1.6;
    allocation.add(turn->series, {1000 * slower * std::exp(noise(random)), 1000 * std::exp(noise(random))}, 0.1);
    at_s[turn->series].push_back(now);
  }
  Simulated made{.measurements = {}, .expected_residual = allocation.expected_residual()};
  made.measurements.series = allocation.series();
  for (size_t i = 0; i < series.size(); ++i) made.measurements.series[i].at_s = at_s[i];
  return made;
}

TEST(BudgetReplay, EndsAsTheRunEnded) {
  const Simulated made = run();
  const BudgetReplay found = replay_budget(made.measurements, 12);
  ASSERT_EQ(found.moments.size(), 12u);
  EXPECT_DOUBLE_EQ(found.moments.back().expected_residual, made.expected_residual);
  size_t blocks = 0;
  for (const Series& series : made.measurements.series) blocks += series.blocks();
  EXPECT_EQ(found.moments.back().blocks, blocks);
  EXPECT_TRUE(std::ranges::is_sorted(found.moments, {}, &BudgetReplay::Moment::at_s));
  EXPECT_TRUE(std::ranges::is_sorted(found.moments, {}, &BudgetReplay::Moment::blocks));
  EXPECT_GT(found.moments.front().expected_residual, 3 * found.moments.back().expected_residual);
  double sum = 0;
  for (const BudgetReplay::SeriesResidual& residual : found.series) sum += residual.last;
  EXPECT_DOUBLE_EQ(sum, made.expected_residual);
}

TEST(BudgetReplay, GivesTheResidualAfterScreening) {
  const Simulated made = run();
  const BudgetReplay found = replay_budget(made.measurements);
  ASSERT_EQ(found.series.size(), 3u);
  EXPECT_GT(found.series[1].screened, found.series[0].screened) << "the close one";
  EXPECT_GT(found.series[1].screened, found.series[1].last);
  EXPECT_GT(made.measurements.series[1].blocks(), made.measurements.series[0].blocks());
}

TEST(BudgetReplay, IsNotKnownWithoutTimes) {
  Simulated made = run();
  EXPECT_TRUE(replay_budget({}).moments.empty());
  for (double& at : made.measurements.series[1].at_s) at = 0;
  made.measurements.series[1].at_s.pop_back();
  EXPECT_TRUE(replay_budget(made.measurements).moments.empty()) << "a block without its time";
  for (Series& series : made.measurements.series) series.at_s.assign(series.blocks(), 0);
  EXPECT_TRUE(replay_budget(made.measurements).moments.empty()) << "a file without the column";
}

}  // namespace
}  // namespace metallic::tune
