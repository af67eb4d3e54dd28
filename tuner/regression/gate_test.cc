// SPDX-License-Identifier: Apache-2.0
// The gate on blocks whose truth is known: its false alarms and its power are counted, with fixed seeds.
#include "tuner/regression/gate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/signed_rank.h"

namespace metallic::tune {
namespace {

// Times of two builds as a shared machine gives them: what both sides share (a drift, slow phases) cancels; what they do not has
// heavy tails (Student's t with 3 degrees of freedom) and depends on the block before. The standard library's distributions
// differ between implementations, so they are made here.
class Machine {
 public:
  Machine(uint64_t seed, double noise, double rho) : random_(seed), noise_(noise), rho_(rho) {}

  double difference(double slowdown) {
    drift_ += 0.01 * normal();
    const double square_sum = std::pow(normal(), 2) + std::pow(normal(), 2) + std::pow(normal(), 2);
    const double fresh = noise_ * normal() / std::sqrt(square_sum / 3);
    own_ = rho_ * own_ + std::sqrt(1 - rho_ * rho_) * fresh;
    const double base = 1e5 * std::exp(drift_), head = 1e5 * (1 + slowdown) * std::exp(drift_ + own_);
    return std::log(head / base);
  }

 private:
  double uniform() { return (static_cast<double>(random_() >> 11) + 0.5) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * 3.14159265358979323846 * uniform()); }

  std::mt19937_64 random_;
  double noise_, rho_;
  double drift_ = 0, own_ = 0;
};

struct Counts {
  int alarms = 0;  // gates that called an equal benchmark slower
  int found = 0;   // gates that called the slowed benchmark slower
  int passed = 0;
  double blocks = 0;  // a benchmark's, on average
};

// Gates over 20 benchmarks, of which one is slowed.
Counts gates(int count, double slowdown, double noise, double rho, uint64_t seed) {
  constexpr size_t kBenchmarks = 20;
  Counts counts;
  for (int g = 0; g < count; ++g) {
    Gate gate(kBenchmarks);
    std::vector<Machine> machines;
    for (size_t b = 0; b < kBenchmarks; ++b)
      machines.emplace_back(seed + 1000 * static_cast<uint64_t>(g) + b, noise * (0.5 + 0.05 * static_cast<double>(b)), rho);
    const size_t slowed = static_cast<size_t>(g) % kBenchmarks;
    for (bool wanted = true; wanted;) {
      wanted = false;
      for (size_t b = 0; b < kBenchmarks; ++b)
        if (gate.wants(b)) wanted = true, gate.add(b, machines[b].difference(b == slowed ? slowdown : 0));
    }
    bool alarm = false;
    for (size_t b = 0; b < kBenchmarks; ++b) {
      const bool slower = gate.assessments()[b].finding == Finding::slower;
      if (slower && (b != slowed || slowdown == 0)) alarm = true;
      if (slower && b == slowed && slowdown > 0) ++counts.found;
      counts.blocks += static_cast<double>(gate.assessments()[b].blocks) / (kBenchmarks * count);
    }
    if (alarm) ++counts.alarms;
    if (gate.verdict() == GateVerdict::pass) ++counts.passed;
  }
  return counts;
}

TEST(Gate, OfThreeHundredGatesBetweenEqualBuildsAtMostThreeRaiseAnAlarm) {
  for (const auto& [noise, rho] : {std::pair(0.02, 0.3), {0.05, 0.0}, {0.05, 0.5}, {0.15, 0.3}}) {
    const Counts counts = gates(300, 0, noise, rho, 7);
    EXPECT_LE(counts.alarms, 3) << "noise " << noise << " rho " << rho;
    RecordProperty(fmt::format("alarms_{}_{}", noise, rho), counts.alarms);
  }
}

TEST(Gate, OfAHundredSlowdownsByFivePercentNinetyFiveAreFound) {
  for (const auto& [noise, rho] : {std::pair(0.01, 0.3), {0.03, 0.0}, {0.03, 0.3}, {0.05, 0.0}}) {
    const Counts counts = gates(100, 0.05, noise, rho, 11);
    EXPECT_GE(counts.found, 95) << "noise " << noise << " rho " << rho;
    EXPECT_LE(counts.alarms, 1) << "noise " << noise << " rho " << rho;
    RecordProperty(fmt::format("found_{}_{}", noise, rho), counts.found);
  }
}

TEST(Gate, EqualBuildsOnAQuietMachinePassEarly) {
  const Counts counts = gates(100, 0, 0.01, 0.2, 3);
  EXPECT_GE(counts.passed, 99);
  EXPECT_LT(counts.blocks, 30) << "what is clearly not slower is timed no more";
}

TEST(Gate, NoiseThatHidesASlowdownIsNoPass) {
  const Counts counts = gates(40, 0.05, 0.6, 0.3, 5);
  EXPECT_LE(counts.alarms, 1);
  EXPECT_EQ(counts.passed, 0) << "what could be 5 % slower is inconclusive";
}

// One benchmark, all blocks equal but for a tiny alternation.
Gate decided(double middle, size_t blocks, double tau = 0.025) {
  Gate gate(1, tau);
  for (size_t i = 0; i < blocks && gate.wants(0); ++i)
    gate.add(0, middle + (i % 2 == 0 ? 1e-4 : -1e-4) * static_cast<double>(i + 1) / 200);
  gate.finish();
  return gate;
}

TEST(Gate, SignificantIsNotEnough) {
  EXPECT_EQ(decided(0.02, 120).verdict(), GateVerdict::pass) << "certainly 2 % slower, which does not count";
  EXPECT_LT(signed_rank_p(std::vector<double>(15, 0.02)), 1e-4);
  EXPECT_EQ(decided(0.03, 120).verdict(), GateVerdict::fail);
  EXPECT_EQ(decided(0.03, 120, 0.04).verdict(), GateVerdict::pass);
  EXPECT_EQ(decided(-0.5, 120).verdict(), GateVerdict::pass) << "faster";
}

TEST(Gate, FewBlocksAreARefusal) {
  for (const size_t blocks : {0, 1, 2, 14}) {
    const Gate gate = decided(0.5, blocks);
    EXPECT_EQ(gate.verdict(), GateVerdict::inconclusive) << blocks;
    EXPECT_EQ(gate.assessments()[0].blocks, blocks);
  }
  EXPECT_NE(decided(0.5, 1).assessments()[0].reason.find("at least 15"), std::string::npos);
  EXPECT_EQ(decided(0.5, 15).verdict(), GateVerdict::fail);
  EXPECT_EQ(Gate(0).verdict(), GateVerdict::inconclusive) << "nothing was compared";
}

TEST(Gate, ValuesThatAreNoNumbersAreARefusal) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), std::log(0.0)}) {
    Gate gate(2);
    for (int i = 0; i < 15; ++i) {
      gate.add(0, i == 3 ? bad : 0.001 * (i % 3));
      gate.add(1, 0.001 * (i % 3));
    }
    EXPECT_EQ(gate.assessments()[0].finding, Finding::undecided);
    EXPECT_NE(gate.assessments()[0].reason.find("block 4"), std::string::npos) << gate.assessments()[0].reason;
    EXPECT_EQ(gate.assessments()[1].finding, Finding::ok) << "the others are decided";
    EXPECT_EQ(gate.verdict(), GateVerdict::inconclusive);
  }
}

TEST(Gate, LevelsAddUpToHalfAPercent) {
  double sum = 0;
  for (const Look& look : kLooks) sum += look.alpha;
  EXPECT_NEAR(sum, 0.005, 1e-12);
  EXPECT_LE(std::ldexp(1.0, -15), kLooks.front().alpha / 16) << "the first look can find something among 16 benchmarks";
}

TEST(SignedRank, KnownDistribution) {
  // n = 5: of the 32 sign patterns 1 has the sum 15, 2 at least 14, 3 at least 13; a table's one-sided values.
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{1, 2, 3, 4, 5}), 1 / 32.0);
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{-1, 2, 3, 4, 5}), 2 / 32.0);
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{1, -2, 3, 4, 5}), 3 / 32.0);
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{-1, -2, -3, -4, -5}), 1);
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{0, 1, 2, 0, 3, 4, 5}), 1 / 32.0) << "zeros are left out";
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{1, 1, 1}), 1 / 8.0);
  EXPECT_DOUBLE_EQ(signed_rank_p(std::vector<double>{-1, 1, 1}), 4 / 8.0) << "ties have their mean rank: four patterns reach 4";
  EXPECT_EQ(signed_rank_p(std::vector<double>{0, 0}), 1);
  EXPECT_EQ(signed_rank_p({}), 1);
}

// What the p-value says about random signs is what random signs do, where it is exact and where it is not.
TEST(SignedRank, AgreesWithRandomSigns) {
  std::mt19937_64 random(1);
  for (const size_t n : {15, 30, 31, 60}) {
    int below[2] = {};
    constexpr int kDraws = 20000;
    for (int draw = 0; draw < kDraws; ++draw) {
      std::vector<double> values(n);
      for (size_t i = 0; i < n; ++i) values[i] = (random() >> 63) != 0 ? static_cast<double>(i + 1) : -static_cast<double>(i + 1);
      const double p = signed_rank_p(values);
      if (p <= 0.05) ++below[0];
      if (p <= 0.005) ++below[1];
    }
    EXPECT_NEAR(below[0], 0.05 * kDraws, 0.008 * kDraws) << n;
    EXPECT_NEAR(below[1], 0.005 * kDraws, 0.002 * kDraws) << n;
  }
  std::vector<double> values(60);
  for (size_t i = 0; i < 60; ++i) values[i] = i % 3 == 0 ? -1.0 : 1.0;
  EXPECT_GT(signed_rank_p(values, 3), signed_rank_p(values)) << "autocorrelated blocks count as fewer";
}

TEST(SignedRank, LocationIsTheMedianOfPairMeans) {
  const std::vector<double> values = {1, 2, 9};
  EXPECT_DOUBLE_EQ(hodges_lehmann(values, 0.005).estimate, (2 + 5) / 2.0) << "of 1 1.5 2 5 5.5 9";
  EXPECT_TRUE(std::isinf(hodges_lehmann(values, 0.005).high)) << "three values bound nothing at this level";
  std::vector<double> many(100);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i);
  const Location location = hodges_lehmann(many, 0.005), wide = hodges_lehmann(many, 0.005, 3);
  EXPECT_DOUBLE_EQ(location.estimate, 49.5);
  EXPECT_DOUBLE_EQ(location.low + location.high, 99);
  EXPECT_LT(wide.low, location.low);
  EXPECT_GT(wide.high, location.high);
}

TEST(SignedRank, IntervalsCoverTheTruth) {
  for (const double rho : {0.0, 0.4}) {
    int covered = 0;
    for (uint64_t seed = 0; seed < 500; ++seed) {
      Machine machine(seed, 0.05, rho);
      std::vector<double> values(60);
      for (double& value : values) value = machine.difference(0.05);
      const Location location = hodges_lehmann(values, kTail, variance_inflation(unbiased_rank_autocorrelation(values)));
      if (location.low <= std::log(1.05) && std::log(1.05) <= location.high) ++covered;
    }
    EXPECT_GE(covered, 485) << "of 500 at 99 %, rho " << rho;
  }
}

TEST(SignedRank, AutocorrelationIsSeen) {
  const auto mean_inflation = [](double rho) {
    double sum = 0;
    for (uint64_t seed = 0; seed < 50; ++seed) {
      Machine machine(seed, 0.05, rho);
      std::vector<double> values(120);
      for (double& value : values) value = machine.difference(0);
      sum += variance_inflation(unbiased_rank_autocorrelation(values)) / 50;
    }
    return sum;
  };
  EXPECT_NEAR(mean_inflation(0), 1.08, 0.1) << "never below 1, so a little above";
  EXPECT_NEAR(mean_inflation(0.5), 3, 0.6) << "(1+ρ)/(1−ρ)";
}

}  // namespace
}  // namespace metallic::tune
