// SPDX-License-Identifier: Apache-2.0
// CPU time: parsing, unusable counters of containers, and this machine.
#include "tuner/bench/cpu_time.h"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

namespace metallic {
namespace {

constexpr std::string_view kStat =
    "cpu  400 40 200 8000 80 0 20 60 50 0\n"
    "cpu0 100 10 50 4000 40 0 10 20 50 0\n"
    "cpu1 300 30 150 4000 40 0 10 40 0 0\n"
    "cpu10 1 1 1 1 1 1 1 1\n"
    "intr 1 2 3\n";

TEST(CpuTime, CountsOnlyTheGivenCpus) {
  const auto both = parse_cpu_time(kStat, std::array{0, 1}, 100);
  ASSERT_TRUE(both);
  EXPECT_EQ(both->cpus, 2);
  EXPECT_DOUBLE_EQ(both->busy_s, 6.6);
  EXPECT_DOUBLE_EQ(both->steal_s, 0.6);
  EXPECT_DOUBLE_EQ(both->total_s, 88);
  EXPECT_DOUBLE_EQ(parse_cpu_time(kStat, std::array{1}, 100)->busy_s, 4.9);
}

TEST(CpuTime, IsNothingIfACpuIsMissing) {
  EXPECT_FALSE(parse_cpu_time("", std::array{0}, 100));
  EXPECT_FALSE(parse_cpu_time(kStat, std::array{0, 7}, 100));
  EXPECT_FALSE(parse_cpu_time(kStat, {}, 100));
  EXPECT_FALSE(parse_cpu_time("cpu0 1 2 3", std::array{0}, 100));
  EXPECT_FALSE(parse_cpu_time("cpu0 1 2 3 -4 5 6 7 8", std::array{0}, 100));
  EXPECT_FALSE(parse_cpu_time("cpu0 1 2 3 nan 5 6 7 8", std::array{0}, 100));
}

TEST(CpuTime, IsSplitIntoShares) {
  const CpuTime begin{.wall_s = 100, .total_s = 500, .busy_s = 50, .steal_s = 3, .own_s = 10, .cpus = 2};
  CpuTime end{.wall_s = 110, .total_s = 520, .busy_s = 66, .steal_s = 4, .own_s = 20, .cpus = 2};
  const auto shares = shares_between(begin, end);
  ASSERT_TRUE(shares);
  EXPECT_DOUBLE_EQ(shares->others, 0.3);
  EXPECT_DOUBLE_EQ(shares->steal, 0.05);
  end.own_s = 30;  // ticks are rounded
  EXPECT_EQ(shares_between(begin, end)->others, 0);
  end.total_s = 500;
  EXPECT_FALSE(shares_between(begin, end)) << "counters that stand still";
  end.total_s = 1300;
  EXPECT_FALSE(shares_between(begin, end)) << "the counters of more CPUs";
  EXPECT_FALSE(shares_between(begin, begin));
}

TEST(CpuTime, CountsOwnWorkAsOwn) {
  const auto begin = cpu_time();
  if (!begin) GTEST_SKIP() << "this system does not show it";
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
  while (std::chrono::steady_clock::now() < until) {
  }
  const auto end = cpu_time();
  ASSERT_TRUE(end);
  EXPECT_GT(end->own_s - begin->own_s, 0.05);
  EXPECT_LE(end->own_s - begin->own_s, end->wall_s - begin->wall_s + 0.05);
  const auto shares = shares_between(*begin, *end);
  if (!shares) GTEST_SKIP() << "this system's counters do not add up to the wall's time";
  EXPECT_LE(shares->others * end->cpus, end->cpus - 0.05) << "our own work was taken for others'";
}

}  // namespace
}  // namespace metallic
