// SPDX-License-Identifier: Apache-2.0
// Samples that no sampler writes, or too few of them: a clear error, or the default kept and said to be.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <limits>

#include "ops/softmax/shape.h"
#include "testing/cost_surfaces.h"

namespace metallic::tune {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::string sample_text(std::string_view time) {
  std::string text = "benchmark,variant,parameters,dtype,block,time_ns\n";
  for (const char* variant : {"cpu_vec", "cpu_block"})
    text += fmt::format("softmax_f32,{},rows64_seqk256,f32,0,{}\n", variant, time);
  return text;
}

TEST(MalformedInput, TimesThatAreNoneAreErrorsOfTheirLine) {
  EXPECT_TRUE(parse_samples(sample_text("100"), "s.csv"));
  for (const char* time : {"nan", "-1", "inf", "1e999", "", "0x10", "1,5", "12 ns"}) {
    const auto rows = parse_samples(sample_text(time), "s.csv");
    ASSERT_FALSE(rows) << time;
    EXPECT_NE(rows.error().message.find("s.csv line 2"), std::string::npos) << rows.error().message;
    EXPECT_EQ(rows.error().message.find('\n'), std::string::npos);
  }
}

TEST(MalformedInput, RowsThatWereNeverInAFileAreRefusedToo) {
  const std::vector<SampleRow> rows = simulate(one_crossover(1000), {}, {.blocks = 2}, 1);
  EXPECT_TRUE(from_samples(rows, "s", 2));
  for (const double time : {kNaN, -1.0, 0.0, std::numeric_limits<double>::infinity()}) {
    std::vector<SampleRow> broken = rows;
    broken[2].time_ns = time;
    const auto measurements = from_samples(broken, "s", 2);
    ASSERT_FALSE(measurements) << time;
    EXPECT_NE(measurements.error().message.find("s row 3"), std::string::npos) << measurements.error().message;
  }
  std::vector<SampleRow> twice = rows;
  twice.insert(twice.end(), rows.begin(), rows.end());
  const auto measurements = from_samples(twice, "s", 2);
  ASSERT_FALSE(measurements);
  EXPECT_NE(measurements.error().message.find("twice"), std::string::npos);
}

// Every decision is the default's, and no threshold claims to have been found.
void expect_default(const Surface& surface, const Analysis& analysis) {
  for (const Problem& problem : surface.dense)
    ASSERT_EQ(to_string(decide(analysis.lists, surface, problem)), to_string(surface.default_choice(problem))) << label(problem);
  for (const Threshold& threshold : analysis.thresholds) EXPECT_TRUE(threshold.kept_default) << threshold.name;
  for (const Curve& curve : analysis.curves) EXPECT_FALSE(curve.crossover_low || curve.crossover_high);
}

TEST(MalformedInput, OneBlockDecidesNothing) {
  for (const Surface& surface : {one_crossover(200), several_crossovers(), softmax_tunings(), matmul_crossover()}) {
    SCOPED_TRACE(surface.name);
    expect_default(surface, analyze(measure(surface, {}, {.blocks = 1}, 1), analysis_options(surface)));
  }
}

TEST(MalformedInput, NothingTimedDecidesNothing) {
  const Surface surface = one_crossover(200);
  expect_default(surface, analyze(Measurements(), analysis_options(surface)));
  std::vector<SampleRow> rows = simulate(surface, {}, {}, 1);
  for (SampleRow& row : rows) row.variant = row.variant == "cpu_vec" ? "noop" : "cpu_reference";
  const auto passed_over = from_samples(rows, "s", 2);
  ASSERT_TRUE(passed_over) << passed_over.error().message;
  expect_default(surface, analyze(*passed_over, analysis_options(surface)));
  // No reader makes these: candidates without any block.
  Measurements missing = measure(surface, {}, {}, 1);
  for (Series& series : missing.series)
    for (CandidateTimes& candidate : series.candidates) std::ranges::fill(candidate.time, kNaN);
  expect_default(surface, analyze(missing, analysis_options(surface)));
}

TEST(MalformedInput, ACandidateThatRanInOneBlockDoesNotWin) {
  const Surface surface = vec_always();
  std::vector<SampleRow> rows = simulate(surface, {}, {}, 1);
  std::erase_if(rows, [](const SampleRow& row) { return row.variant == "cpu_block" && row.block > 0; });
  for (SampleRow& row : rows)
    if (row.variant == "cpu_block") row.time_ns /= 100;
  const auto measurements = from_samples(rows, "s", 2);
  ASSERT_TRUE(measurements) << measurements.error().message;
  const Analysis analysis = analyze(*measurements, analysis_options(surface));
  for (const Problem& problem : surface.dense)
    if (problem.as<SoftmaxShape>().seq_k <= 1024) {
      ASSERT_EQ(decide(analysis.lists, surface, problem).variant, kVec.variant) << label(problem);
    }
}

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

long peak_kilobytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// The time for a row must not grow with their number: 10⁷ rows are then a matter of seconds.
TEST(MalformedInput, AMillionRowsTakeTimeInProportion) {
  const Surface surface = one_crossover(2000);
  const auto rows_of = [&](size_t count) {
    return simulate(surface, {}, {.blocks = static_cast<int>(count / surface.tuned.size() / surface.candidates.size())}, 1);
  };
  const std::vector<SampleRow> some = rows_of(100'000), many = rows_of(1'000'000);
  AnalysisOptions options = analysis_options(surface);
  options.bootstraps = 20;
  std::optional<Measurements> few, all;
  const double grouping_some = seconds_of([&] { few = *from_samples(some, "s", 2); });
  const long before = peak_kilobytes();
  const double grouping = seconds_of([&] { all = *from_samples(many, "s", 2); });
  const long grown = peak_kilobytes() - before;
  const double analysis_some = seconds_of([&] { analyze(*few, options); });
  const double analysis = seconds_of([&] { analyze(*all, options); });
  fmt::print("{} rows: grouped in {:.2f} s ({:.2f} s for a tenth) and {} MB, analysed in {:.2f} s ({:.2f} s for a tenth)\n",
             many.size(), grouping, grouping_some, grown / 1024, analysis, analysis_some);
  EXPECT_LT(grouping, 40 * grouping_some + 0.1);
  EXPECT_LT(analysis, 40 * analysis_some + 0.1);
  EXPECT_LT(grown, 300 * 1024);
}

}  // namespace
}  // namespace metallic::tune
