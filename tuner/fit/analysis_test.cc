// SPDX-License-Identifier: Apache-2.0
// The form of the findings: bands, sides, verdicts, aggregates. The simulation test judges their quality.
#include "tuner/fit/analysis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"
#include "testing/cost_surfaces.h"
#include "tuner/stats/aggregate.h"

namespace metallic::tune {
namespace {

// Softmax problems, or any that labels tell.
Measurements measure(const std::vector<std::string>& labels, std::vector<SimulatedKernel> candidates, int blocks, double noise,
                     uint64_t seed) {
  Surface surface{.candidates = std::move(candidates)};
  for (const std::string& text : labels) {
    surface.tuned.push_back(*parse_label(text));
    surface.tuned.back().threads = 2;
  }
  return measure(surface, {.own = noise}, {.blocks = blocks}, seed);
}

std::vector<std::string> grid(int64_t rows, int64_t from, int64_t to) {
  std::vector<std::string> labels;
  for (int64_t k = from; k <= to; k *= 2) labels.push_back(fmt::format("rows{}_seqk{}", rows, k));
  return labels;
}

AnalysisOptions options() { return analysis_options(flat()); }

TEST(Analysis, GivesFewRowsABandOfTheirOwn) {
  std::vector<std::string> labels = grid(1, 64, 65536), many = grid(512, 64, 65536);
  labels.insert(labels.end(), many.begin(), many.end());
  const std::vector<SimulatedKernel> candidates = {
      {{"cpu_vec", "unroll=4"}, [](const Problem& p) { return p.as<SoftmaxShape>().rows() == 1 ? 2 * keys(p) : keys(p); }},
      {{"cpu_block", "segment=1024"},
       [](const Problem& p) { return p.as<SoftmaxShape>().rows() == 1 ? keys(p) + 500 : 1.5 * keys(p); }}};
  const Measurements measurements = measure(labels, candidates, 12, 0.03, 7);
  const Analysis analysis = analyze(measurements, options());
  ASSERT_EQ(analysis.thresholds.size(), 2u);
  EXPECT_NEAR(std::log(static_cast<double>(analysis.thresholds[0].value)), std::log(500.0), 0.4);
  EXPECT_EQ(analysis.thresholds[0].where, "rows ≤ 22");
  EXPECT_EQ(analysis.thresholds[1].value, 65536) << "vec always wins there; beyond what was measured, block runs";
  for (const SeriesVerdict& verdict : analysis.verdicts) EXPECT_LT(*verdict.regret, 0.05) << verdict.series->label;
}

// Which segment is faster flips from one power of two to the next, which only the variant itself knows.
TEST(Analysis, LeavesTheTuningToAVariantThatKnowsIt) {
  const auto is_odd = [](const Problem& p) { return std::lround(std::log2(keys(p))) % 2 == 1; };
  const auto block = [=](bool odd) { return [=](const Problem& p) { return keys(p) * (is_odd(p) == odd ? 1.0 : 1.4); }; };
  const std::vector<SimulatedKernel> candidates = {{{"cpu_vec", "unroll=4"}, [](const Problem& p) { return 2 * keys(p); }},
                                                   {{"cpu_block", "segment=1024"}, block(true)},
                                                   {{"cpu_block", "segment=4096"}, block(false)}};
  AnalysisOptions with = options();
  with.preference = [=](const Problem& p, std::string_view variant) -> std::string {
    return variant == "cpu_vec" ? "unroll=4" : is_odd(p) ? "segment=1024" : "segment=4096";
  };
  const Measurements measurements = measure(grid(64, 64, 65536), candidates, 12, 0.03, 3);
  const auto lists = analyze(measurements, with).lists;
  ASSERT_EQ(lists.size(), 1u);
  for (const Rule& rule : lists[0].rules) EXPECT_EQ(to_string(KernelConfig{rule.use, rule.tuning}), "cpu_block");
  with.preference = nullptr;
  EXPECT_GT(analyze(measurements, with).lists.at(0).rules.size(), 4u) << "a rule for each power of two";
}

// Weights of 64 rows are timed with many columns alone, where GEMM wins: what runs one column there, nobody knows.
TEST(Analysis, RulesReachNoFurtherThanShapesOfTheirOwnPart) {
  std::vector<std::string> labels;
  for (const int big : {64, 4096})
    for (const int k : {512, 2048, 8192})
      for (int n = big == 64 ? 32 : 1; n <= 64; n *= 2) labels.push_back(fmt::format("{}x{}x{}", std::max(big, n + 1), k, n));
  const std::vector<SimulatedKernel> candidates = {
      {kGemv, [](const Problem& p) { return 1e4 * static_cast<double>(p.as<MatmulShape>().small()); }},
      {kPacked, [](const Problem& p) { return p.as<MatmulShape>().big() < 128 ? 3e5 : 1.7e5; }},
      {kGemm, [](const Problem& p) { return p.as<MatmulShape>().big() < 128 ? 1e5 : 4e5; }}};
  AnalysisOptions with = analysis_options(matmul_flat());
  const auto lists = analyze(measure(labels, candidates, 12, 0.03, 5), with).lists;
  ASSERT_EQ(lists.size(), 1u);
  const auto first = [&](const Problem& problem) {
    const auto rule = std::ranges::find_if(lists[0].rules, [&](const Rule& each) { return matches(each, problem); });
    return rule == lists[0].rules.end() ? "none" : to_string(KernelConfig{rule->use, rule->tuning});
  };
  EXPECT_EQ(first(matmul_problem(65, 2048, 64)), to_string(kGemm));
  EXPECT_EQ(first(matmul_problem(64, 2048, 1)), "none");
  EXPECT_EQ(first(matmul_problem(4096, 2048, 1)), to_string(KernelConfig{kGemv.variant, ""}));
}

// One built-in variant refuses what another takes: both stay, in their order, where a box keeps the built-in rules.
TEST(Analysis, ABoxKeepsEachBuiltInVariantOfARange) {
  std::vector<std::string> labels;
  for (const int k : {512, 2048, 8192})
    for (int n = 1; n <= 64; n *= 2) labels.push_back(fmt::format("4096x{}x{}", k, n));
  const auto small = [](const Problem& p) { return p.as<MatmulShape>().small(); };
  // The better tuning changes with each n, so that no rules of their own are as cheap as the built-in ones.
  const KernelConfig other{kGemv.variant, "rows=8"};
  const auto is_square = [=](const Problem& p) { return std::lround(std::log2(small(p))) % 2 == 0; };
  const auto gemv = [=](bool squares) {
    return [=](const Problem& p) { return small(p) > 16 ? 9e5 : is_square(p) == squares ? 1e5 : 2e5; };
  };
  const std::vector<SimulatedKernel> candidates = {{kGemv, gemv(true)},
                                                   {other, gemv(false)},
                                                   {kPacked, [](const Problem&) { return 4e5; }},
                                                   {kGemm, [=](const Problem& p) { return small(p) > 16 ? 2e5 : 4e5; }}};
  AnalysisOptions with = analysis_options(matmul_flat());
  with.preference = nullptr;
  with.default_choice = [=](const Problem& p) { return small(p) > 16 ? kPacked : is_square(p) ? kGemv : other; };
  with.default_rules = [rules = with.default_rules](const RuleKey& key) {
    std::vector<Rule> all = rules(key);
    all.insert(all.begin(), {.when = all[0].when, .use = "cpu_gemv_bf16"});
    return all;
  };
  const auto lists = analyze(measure(labels, candidates, 12, 0.03, 5), with).lists;
  ASSERT_EQ(lists.size(), 1u);
  std::vector<std::string> matching;
  for (const Rule& rule : lists[0].rules)
    if (matches(rule, matmul_problem(4096, 2048, 4))) matching.push_back(rule.use);
  ASSERT_GE(matching.size(), 2u);
  EXPECT_EQ(matching[0], "cpu_gemv_bf16");
  EXPECT_EQ(matching[1], kGemv.variant);
}

TEST(Analysis, FindsTheSmallNThresholdForEachSide) {
  std::vector<std::string> labels;
  for (const int n : {1, 2, 4, 8, 16, 32}) {
    labels.push_back(fmt::format("4096x4096x{}", n));
    labels.push_back(fmt::format("{}x4096x4096", n));
  }
  const auto small = [](const Problem& p) { return static_cast<double>(p.as<MatmulShape>().small()); };
  const auto limit = [](const Problem& p) { return p.as<MatmulShape>().weights_in_a() ? 6.0 : 24.0; };
  const std::vector<SimulatedKernel> candidates = {
      {{"cpu_gemv", "rows=2"}, [=](const Problem& p) { return 1e6 * (1 + small(p)); }},
      {{"cpu_gemm", "pack=1"}, [=](const Problem& p) { return 1e6 * (1 + limit(p)) * (1 + small(p) / 1000); }}};
  AnalysisOptions with = options();
  with.default_choice = nullptr;
  const Measurements measurements = measure(labels, candidates, 12, 0.03, 9);
  const Analysis analysis = analyze(measurements, with);
  int found = 0;
  for (const Threshold& threshold : analysis.thresholds) {
    if (threshold.name != "smalln_max_n") continue;
    ++found;
    // The truth lies between two measured points each: 6 of 4 and 8, 24 of 16 and 32.
    EXPECT_NEAR(static_cast<double>(threshold.value), threshold.where == "weights in A" ? 6 : 24,
                threshold.where == "weights in A" ? 1 : 3);
  }
  EXPECT_EQ(found, 2);
  const auto& rules = analysis.lists.at(0).rules;
  const auto use = [&](const char* label) {
    for (const Rule& rule : rules)
      if (matches(rule, *parse_label(label))) return rule.use;
    return std::string();
  };
  EXPECT_EQ(use("4096x4096x4"), "cpu_gemv");
  EXPECT_EQ(use("4096x4096x8"), "cpu_gemm");
  EXPECT_EQ(use("8x4096x4096"), "cpu_gemv");
  EXPECT_EQ(use("32x4096x4096"), "cpu_gemm");
}

TEST(Analysis, CopesWithASingleFamily) {
  const Measurements one_family = measure(grid(64, 64, 4096), {one_crossover(100).candidates[0]}, 4, 0.01, 1);
  const Analysis analysis = analyze(one_family, options());
  for (const SeriesVerdict& verdict : analysis.verdicts)
    EXPECT_TRUE(verdict.chosen.variant == "cpu_vec" || verdict.chosen.variant.empty());
}

TEST(Regret, SeesARealLoss) {
  const std::vector<SimulatedKernel> candidates = {{{"cpu_vec", ""}, [](const Problem&) { return 1200.0; }},
                                                   {{"cpu_block", ""}, [](const Problem&) { return 1000.0; }}};
  const Measurements measurements = measure({"rows1_seqk64"}, candidates, 20, 0.02, 3);
  EXPECT_NEAR(*cross_fitted_regret(measurements.series[0], {"cpu_vec", ""}), 0.2, 0.03);
  EXPECT_NEAR(*cross_fitted_regret(measurements.series[0], {"cpu_block", ""}), 0, 0.02);
  EXPECT_FALSE(cross_fitted_regret(measurements.series[0], {"cpu_other", ""}));
  const auto lost = cross_fitted_regret(measurements.series[0], {"cpu_vec", ""});
  EXPECT_LT(lost->low, lost->value);
  EXPECT_LT(lost->value, lost->high);
  EXPECT_NEAR(lost->high - lost->low, 2 * 2.1 * 1.2 * 0.02 * std::sqrt(2.0 / 20), 0.02) << "two times of 2 % noise, 20 blocks";
  EXPECT_EQ(best_config(measurements.series[0], fit_block_effects(measurements.series[0])), (KernelConfig{"cpu_block", ""}));
}

TEST(Measurements, RefuseWhatCannotBeCompared) {
  std::vector<SampleRow> rows = simulate(one_crossover(100), {}, {.blocks = 2}, 1);
  EXPECT_TRUE(from_samples(rows, "s", 2));
  const SampleRow first = rows[0];
  const auto broken = [&](auto change) {
    std::vector<SampleRow> copy = rows;
    change(copy[1]);
    const auto measurements = from_samples(copy, "s.csv", 2);
    return measurements ? std::string("accepted") : measurements.error().message;
  };
  EXPECT_NE(broken([](SampleRow& r) { r.parameters = "nonsense"; }).find("s.csv row 2"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.dtype = "f99"; }).find("dtype"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.device = "other"; }).find("one device"), std::string::npos);
  EXPECT_NE(broken([&](SampleRow& r) { r.variant = first.variant, r.tuning = first.tuning; }).find("twice"), std::string::npos);
  EXPECT_EQ(broken([](SampleRow& r) { r.variant = "noop"; }), "accepted");
}

TEST(Measurements, RepeatedResultsAreRepetitions) {
  std::vector<ResultRow> rows(4);
  for (size_t i = 0; i < 4; ++i) {
    rows[i].benchmark = "softmax_dispatcher_f32";
    rows[i].variant = i % 2 ? "cpu_vec" : "cpu_block";
    rows[i].parameters = "rows1_seqk64";
    rows[i].mean_time = 100.0 + static_cast<double>(i);
  }
  const auto measurements = from_results(rows, "r.csv", 2);
  ASSERT_TRUE(measurements) << measurements.error().message;
  EXPECT_FALSE(measurements->paired);
  ASSERT_EQ(measurements->series.size(), 1u);
  EXPECT_EQ(measurements->series[0].blocks(), 2u);
  EXPECT_EQ(measurements->series[0].problem.threads, 2);
}

TEST(Aggregate, GivesMedianAndItsInterval) {
  const Measurements measurements = measure({"rows8_seqk64"}, {one_crossover(100).candidates[1]}, 21, 0.02, 3);
  const auto rows = aggregate(measurements, "AVX2");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_LT(rows[0].ci_low, rows[0].median_time);
  EXPECT_GT(rows[0].ci_high, rows[0].median_time);
  EXPECT_EQ(rows[0].samples, 21);
  EXPECT_NEAR(rows[0].throughput, 8 * 64 * 3 / (rows[0].mean_time * 1e-9), 1);
}

}  // namespace
}  // namespace metallic::tune
