// SPDX-License-Identifier: Apache-2.0
// Allocation: where the next block goes, and that this loses less than timing all alike. Times are drawn, nothing is measured.
#include "tuner/fit/allocation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <random>
#include <set>

#include "ops/label.h"
#include "ops/softmax/shape.h"

namespace metallic::tune {
namespace {

// Series of known true times. Draws what an allocation asks for, with noise.
class SimulatedBench {
 public:
  struct Unit {
    std::vector<double> log_time;  // by arm, of e.g. 1 µs
    double weight = 1;
    double seconds = 1;  // of a block with all its arms
  };

  SimulatedBench(std::vector<Unit> units, const AllocationOptions& options, double noise, uint64_t seed)
      : units_(std::move(units)),
        noise_(noise),
        random_(seed),
        allocation_(series_of(units_), seconds_of(units_), options),
        visits(units_.size(), 0) {}

  // One turn, where that many seconds are left; false where the allocation has enough.
  bool step(double left_s = 1e9) {
    const auto turn = allocation_.next(left_s);
    if (!turn) return false;
    const Unit& unit = units_[turn->series];
    std::vector<double> times(unit.log_time.size(), std::numeric_limits<double>::quiet_NaN());
    std::normal_distribution<double> normal;
    const double shared = 0.1 * std::abs(normal(random_));
    for (size_t arm = 0; arm < times.size(); ++arm)
      if (turn->live[arm]) times[arm] = 1000 * std::exp(unit.log_time[arm] + shared + noise_ * normal(random_)), ++timings;
    last = *turn;
    ++visits[turn->series];
    allocation_.add(turn->series, times, unit.seconds);
    return true;
  }

  // The arm that looks best.
  size_t leader(size_t index) const {
    const auto medians = fit_block_effects(allocation_.series()[index]).median;
    size_t best = 0;
    for (size_t arm = 1; arm < medians.size(); ++arm)
      if (medians[arm] < medians[best]) best = arm;
    return best;
  }

  // What the leaders really lose over the weights, a fraction.
  double regret() const {
    double sum = 0, weights = 0;
    for (size_t i = 0; i < units_.size(); ++i) {
      const auto& log_time = units_[i].log_time;
      sum += units_[i].weight * (std::exp(log_time[leader(i)] - *std::ranges::min_element(log_time)) - 1);
      weights += units_[i].weight;
    }
    return sum / weights;
  }

  Allocation& allocation() { return allocation_; }

 private:
  static std::vector<Series> series_of(const std::vector<Unit>& units) {
    std::vector<Series> all;
    for (size_t i = 0; i < units.size(); ++i) {
      Series& series = all.emplace_back();
      series.problem = softmax_problem(1, static_cast<int64_t>(i) + 1);
      series.label = label(series.problem);
      series.weight = units[i].weight;
      for (size_t arm = 0; arm < units[i].log_time.size(); ++arm)
        series.candidates.push_back({{fmt::format("v{}", arm), ""}, {}});
    }
    return all;
  }
  static std::vector<double> seconds_of(const std::vector<Unit>& units) {
    std::vector<double> all;
    for (const Unit& unit : units) all.push_back(unit.seconds);
    return all;
  }

  std::vector<Unit> units_;
  double noise_;
  std::mt19937_64 random_;
  Allocation allocation_;

 public:
  std::vector<size_t> visits;
  Allocation::Turn last;
  size_t timings = 0;
};

constexpr SimulatedBench::Unit tie(double weight = 1, double seconds = 1) { return {{0, 0.02}, weight, seconds}; }
constexpr SimulatedBench::Unit clear(double weight = 1, double seconds = 1) { return {{0, 0.7}, weight, seconds}; }

TEST(ExpectedLoss, IsTheIntegralOfWhatAWrongChoiceLoses) {
  for (const double worse_by : {0.0, 0.01, 0.05, 0.2})
    for (const double error : {0.005, 0.05, 0.3}) {
      double sum = 0;
      constexpr int kSteps = 200'000;
      for (int i = 0; i < kSteps; ++i) {  // over the true difference, which is negative where the other one is faster
        const double z = -10 + 20 * (i + 0.5) / kSteps;
        sum += std::max(0.0, -(worse_by + error * z)) * std::exp(-z * z / 2) * 20 / kSteps;
      }
      EXPECT_NEAR(expected_loss(worse_by, error), sum / std::sqrt(2 * std::numbers::pi), 1e-8) << worse_by << " ± " << error;
    }
  EXPECT_NEAR(expected_loss(0, 1), 0.3989423, 1e-6);
  EXPECT_EQ(expected_loss(0.1, 0), 0) << "what is known is not lost";
}

TEST(Allocation, VisitsEverySeriesTwiceFirst) {
  std::vector<SimulatedBench::Unit> units;
  for (int i = 0; i < 20; ++i) units.push_back(tie(i % 3, 1 + 0.1 * i));
  SimulatedBench bench(units, {}, 0.05, 1);
  for (const size_t round : {1, 2}) {
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(bench.step());
    for (const size_t visits : bench.visits) EXPECT_EQ(visits, round);
  }
  SimulatedBench weighted({tie(1, 5), tie(9, 5), tie(1, 0.1)}, {}, 0.05, 1);
  std::vector<size_t> order;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(weighted.step());
    order.push_back(weighted.last.series);
  }
  EXPECT_EQ(order, (std::vector<size_t>{2, 1, 0})) << "the most weight per second first, should the budget end early";
}

TEST(Allocation, GoesWhereATieIsCloseAndCostly) {
  AllocationOptions options{.enough = 0};
  std::vector<size_t> visits(4, 0);
  for (uint64_t seed = 0; seed < 30; ++seed) {  // one run's ties may look clear
    SimulatedBench bench({tie(), clear(), tie(0.1), tie(1, 10)}, options, 0.05, seed);
    for (int i = 0; i < 80; ++i) ASSERT_TRUE(bench.step());
    for (size_t i = 0; i < 4; ++i) visits[i] += bench.visits[i];
  }
  EXPECT_GT(visits[0], 3 * visits[1]) << "nothing is left to know of the clear one";
  EXPECT_GT(visits[0], visits[2]) << "less weight";
  EXPECT_GT(visits[0], 2 * visits[3]) << "ten times as dear";
}

TEST(Allocation, DropsTheHopelessAndTheDominated) {
  const SimulatedBench::Unit unit{{0.01, 0, 0.3, 2.0}};
  for (const bool adaptive : {true, false}) {
    SimulatedBench bench({unit}, {.adaptive = adaptive, .enough = 0}, 0.02, 3);
    std::vector<std::vector<bool>> live;
    while (live.size() < 12 && bench.step()) live.push_back(bench.last.live);
    ASSERT_EQ(live.size(), 12u);
    for (const size_t early : {0, 1}) EXPECT_EQ(live[early], std::vector<bool>(4, true));
    EXPECT_FALSE(live[2][3]) << "seven times slower";
    EXPECT_EQ(live[11], (std::vector<bool>{true, true, !adaptive, false})) << "the dominated stay where all are timed alike";
  }
}

// Also under noise in which the order of arms changes for some time.
TEST(Allocation, NeverDropsTheLeader) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const double noise = seed % 2 ? 0.1 : 0.4;
    SimulatedBench bench({{{0, 0.05, 0.2, 0.5, 1.2, 2}}}, {.enough = 0}, noise, seed);
    for (int i = 0; i < 40 && bench.step(); ++i) {
      if (const auto next = bench.allocation().next(1e9)) {
        ASSERT_TRUE(next->live[bench.leader(0)]) << "seed " << seed << " turn " << i;
      }
    }
  }
}

TEST(Allocation, AFifthOfTheTimeGoesToShapesWithoutWeight) {
  std::vector<SimulatedBench::Unit> units;
  for (int i = 0; i < 5; ++i) units.push_back(tie(1, 1 + i % 3));
  for (int i = 0; i < 40; ++i) units.push_back(tie(0, 0.5 + i % 5));
  SimulatedBench bench(units, {.enough = 0, .least_blocks = 2, .most_blocks = 1000}, 0.3, 4);
  for (int i = 0; i < 90; ++i) ASSERT_TRUE(bench.step());
  double audited = 0, all = 0;
  while (all < 300) {
    ASSERT_TRUE(bench.step());
    const SimulatedBench::Unit& unit = units[bench.last.series];
    all += unit.seconds;
    if (unit.weight == 0) audited += unit.seconds;
  }
  EXPECT_GT(audited / all, 0.18);
  EXPECT_LT(audited / all, 0.7) << "and most of what is known to matter";
}

TEST(Allocation, ChoosesNothingThatDoesNotFit) {
  std::vector<SimulatedBench::Unit> units;
  for (int i = 0; i < 10; ++i) units.push_back(tie(1, std::exp2(i % 5)));
  for (const bool adaptive : {true, false})
    for (const double budget : {0.5, 3.0, 40.0, 500.0}) {
      SimulatedBench bench(units, {.adaptive = adaptive, .enough = 0}, 0.05, 5);
      double left = budget;
      while (bench.step(left)) {
        left -= units[bench.last.series].seconds;
        // The first two blocks are had whatever is left: fewer say nothing.
        if (bench.visits[bench.last.series] > 2) {
          ASSERT_GE(left, 0) << budget;
        }
      }
      EXPECT_LT(left, 1) << "and goes on while the cheapest fits, of " << budget;
    }
}

TEST(Allocation, StopsWhereThatIsEnough) {
  SimulatedBench bench({clear(), clear(3), clear(0)}, {}, 0.02, 6);
  EXPECT_DOUBLE_EQ(bench.allocation().expected_residual(), 1) << "nothing is known";
  while (bench.step()) {
  }
  EXPECT_EQ(bench.visits, (std::vector<size_t>{8, 8, 8}));
  EXPECT_LT(bench.allocation().expected_residual(), 0.003);

  size_t visits = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimulatedBench ties({tie(), tie()}, {}, 0.2, seed);
    while (ties.step()) {
    }
    visits += ties.visits[0] + ties.visits[1];
    EXPECT_TRUE(ties.allocation().expected_residual() < 0.003 || ties.visits == (std::vector<size_t>{60, 60}));
  }
  EXPECT_GT(visits / 40, 16u) << "ties take more to know";
}

TEST(Allocation, EvenlyVisitsAllAlike) {
  SimulatedBench bench({tie(), clear(5), tie(0), clear(1, 30)}, {.adaptive = false, .most_blocks = 9}, 0.05, 7);
  while (bench.step()) {
    const auto [least, most] = std::ranges::minmax(bench.visits);
    EXPECT_LE(most - least, 1u);
  }
  EXPECT_EQ(bench.visits, (std::vector<size_t>{9, 9, 9, 9}));
}

// The same number of timed arms, half of the problems clear: the leaders lose less where samples went to the ties.
TEST(Allocation, LosesLessThanTimingAllAlike) {
  double adaptive = 0, even = 0;
  constexpr int kSeeds = 100;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    std::vector<SimulatedBench::Unit> units;
    for (int i = 0; i < 30; ++i) {
      SimulatedBench::Unit unit{{}, std::exp(normal(random))};
      const double spread = i % 2 ? 0.05 : 0.8;
      for (int arm = 0; arm < 4; ++arm) unit.log_time.push_back(std::abs(spread * normal(random)));
      units.push_back(unit);
    }
    const auto regret = [&](bool is_adaptive) {
      SimulatedBench bench(units, {.adaptive = is_adaptive, .enough = 0, .least_blocks = 2, .most_blocks = 1000}, 0.1, seed);
      while (bench.timings < 30 * 4 * 6 && bench.step()) {
      }
      return bench.regret() / kSeeds;
    };
    adaptive += regret(true);
    even += regret(false);
  }
  EXPECT_LT(adaptive, 0.8 * even) << adaptive << " against " << even;
  EXPECT_GT(even, 0.001) << "or there is nothing to choose";
}

}  // namespace
}  // namespace metallic::tune
