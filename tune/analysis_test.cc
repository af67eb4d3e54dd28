// The analysis on synthetic cost surfaces whose truth is known.
#include "tune/analysis.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "core/label.h"
#include "tune/aggregate.h"
#include "tune/statistics.h"

namespace metallic::tune {
namespace {

struct Candidate {
  Choice choice;
  std::function<double(const Problem&)> time;  // the true one, ns
};

// Samples as the sampler would take them: blocks share a disturbance, arms have their own noise.
std::vector<SampleRow> simulate(const std::vector<std::string>& labels, const std::vector<Candidate>& candidates, int blocks,
                                double noise, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<SampleRow> rows;
  for (const std::string& label : labels) {
    const Problem problem = *parse_label(label);
    for (int block = 0; block < blocks; ++block) {
      const double shared = std::exp(0.1 * std::abs(normal(random)));
      for (const Candidate& candidate : candidates) {
        SampleRow row;
        row.variant = candidate.choice.variant;
        row.tuning = candidate.choice.tuning;
        row.parameters = label;
        row.dtype = "f32";
        row.threads = 2;
        row.cache = "warm";
        row.device = "lab";
        row.block = block;
        row.time_ns = candidate.time(problem) * shared * std::exp(noise * normal(random));
        rows.push_back(row);
      }
    }
  }
  return rows;
}

Measurements measure(const std::vector<std::string>& labels, const std::vector<Candidate>& candidates, int blocks, double noise,
                     uint64_t seed) {
  const auto rows = simulate(labels, candidates, blocks, noise, seed);
  auto measurements = from_samples(rows, "lab", 2);
  EXPECT_TRUE(measurements) << measurements.error().message;
  return std::move(*measurements);
}

double seq_k(const Problem& p) { return static_cast<double>(p.softmax().seq_k); }

// vec costs more per key, block more per row: they cost the same where seq_k is `crossover`.
std::vector<Candidate> vec_and_block(double crossover, double steepness = 1) {
  return {{{"cpu_vec", "unroll=4"}, [=](const Problem& p) { return 100 + seq_k(p) * (1 + steepness * seq_k(p) / crossover); }},
          {{"cpu_block", "segment=1024"}, [=](const Problem& p) { return 100 + seq_k(p) * (1 + steepness); }}};
}

std::vector<std::string> grid(int64_t rows, int64_t from, int64_t to) {
  std::vector<std::string> labels;
  for (int64_t k = from; k <= to; k *= 2) labels.push_back(fmt::format("rows{}_seqk{}", rows, k));
  return labels;
}

AnalysisOptions options() {
  AnalysisOptions options;
  options.bootstraps = 200;
  options.default_choice = [](const Problem& p) {
    return seq_k(p) <= 1024 ? Choice{"cpu_vec", "unroll=4"} : Choice{"cpu_block", "segment=1024"};
  };
  options.default_rules = [](Op) {
    return std::vector<Rule>{{.when = {{.axis = Axis::seq_k, .low = {}, .high = 1024}}, .use = "cpu_vec", .tuning = "", .evidence = {}},
                             {.when = {}, .use = "cpu_block", .tuning = "", .evidence = {}}};
  };
  return options;
}

// Weighted regret, by the true times, of one threshold over a dense grid.
double true_regret(const std::vector<Candidate>& candidates, int64_t threshold) {
  double sum = 0;
  int count = 0;
  for (double k = 64; k <= 65536; k *= 1.05, ++count) {
    const Problem problem = softmax_problem(64, static_cast<int64_t>(k));
    const double vec = candidates[0].time(problem), block = candidates[1].time(problem);
    sum += (seq_k(problem) <= static_cast<double>(threshold) ? vec : block) / std::min(vec, block) - 1;
  }
  return sum / count;
}

TEST(Analysis, FindsTheCrossoverAndNotTheLargestGain) {
  for (const double truth : {300.0, 1500.0, 6000.0, 20000.0}) {
    const auto candidates = vec_and_block(truth);
    const Measurements measurements = measure(grid(64, 64, 65536), candidates, 15, 0.05, static_cast<uint64_t>(truth));
    const Analysis analysis = analyze(measurements, options());
    ASSERT_EQ(analysis.thresholds.size(), 1u);
    const Threshold& threshold = analysis.thresholds[0];
    // The known mistake: block's gain is largest at the far end of the grid.
    int64_t largest_gain = 0;
    double gain = 0;
    for (const Series& series : measurements.series) {
      const Replicates data(effects(series), 1, 0);
      const double here = data.log_time(0, 1) - data.log_time(0, 0);  // arms are sorted: block, vec
      if (here > gain) gain = here, largest_gain = series.problem.softmax().seq_k;
    }
    EXPECT_LT(true_regret(candidates, threshold.value), 0.0026) << truth << " found " << threshold.value;
    EXPECT_LT(10 * true_regret(candidates, threshold.value), true_regret(candidates, largest_gain)) << truth;
    EXPECT_LE(threshold.low, threshold.high);
    ASSERT_EQ(analysis.curves.size(), 1u);
    ASSERT_TRUE(analysis.curves[0].crossover);
    EXPECT_NEAR(std::log(*analysis.curves[0].crossover), std::log(truth), 0.25);
  }
}

TEST(Analysis, TheIntervalCoversTheTruth) {
  const double truth = 1500;
  int covered = 0, runs = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    const Measurements measurements = measure(grid(64, 256, 16384), vec_and_block(truth), 15, 0.05, seed);
    const Curve curve = analyze(measurements, options()).curves.at(0);
    if (!curve.crossover_low) continue;
    ++runs;
    covered += *curve.crossover_low <= truth && truth <= *curve.crossover_high;
  }
  EXPECT_GE(runs, 38);
  EXPECT_GE(covered, runs * 85 / 100) << "of " << runs;
}

TEST(Analysis, KeepsTheDefaultOnFlatGround) {
  int kept = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<Candidate> equal = {{{"cpu_vec", ""}, [](const Problem& p) { return seq_k(p); }},
                                          {{"cpu_block", ""}, [](const Problem& p) { return seq_k(p); }}};
    const Measurements measurements = measure(grid(64, 64, 16384), equal, 12, 0.05, seed);
    AnalysisOptions with = options();
    with.default_choice = [](const Problem& p) { return Choice{seq_k(p) <= 1024 ? "cpu_vec" : "cpu_block", ""}; };
    kept += analyze(measurements, with).thresholds.at(0).value == 1024;
  }
  EXPECT_GE(kept, 17) << "equal curves must not move the threshold";
}

TEST(Analysis, GivesFewRowsABandOfTheirOwn) {
  std::vector<std::string> labels = grid(1, 64, 65536), many = grid(512, 64, 65536);
  labels.insert(labels.end(), many.begin(), many.end());
  const std::vector<Candidate> candidates = {
      {{"cpu_vec", "unroll=4"}, [](const Problem& p) { return p.softmax().rows() == 1 ? 2 * seq_k(p) : seq_k(p); }},
      {{"cpu_block", "segment=1024"},
       [](const Problem& p) { return p.softmax().rows() == 1 ? seq_k(p) + 500 : 1.5 * seq_k(p); }}};
  const Measurements measurements = measure(labels, candidates, 12, 0.03, 7);
  const Analysis analysis = analyze(measurements, options());
  ASSERT_EQ(analysis.thresholds.size(), 2u);
  EXPECT_NEAR(std::log(static_cast<double>(analysis.thresholds[0].value)), std::log(500.0), 0.4);
  EXPECT_EQ(analysis.thresholds[0].where, "rows ≤ 22");
  EXPECT_EQ(analysis.thresholds[1].value, 65536) << "vec always wins there; beyond what was measured, block runs";
  for (const Verdict& verdict : analysis.verdicts) EXPECT_LT(*verdict.regret, 0.05) << verdict.series->label;
}

TEST(Analysis, FindsTheSmallNThresholdForEachSide) {
  std::vector<std::string> labels;
  for (const int n : {1, 2, 4, 8, 16, 32}) {
    labels.push_back(fmt::format("4096x4096x{}", n));
    labels.push_back(fmt::format("{}x4096x4096", n));
  }
  const auto small = [](const Problem& p) { return static_cast<double>(p.matmul().small()); };
  const auto limit = [](const Problem& p) { return p.matmul().weights_in_a() ? 6.0 : 24.0; };
  const std::vector<Candidate> candidates = {
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

TEST(Analysis, CopesWithLittle) {
  EXPECT_TRUE(analyze(Measurements(), options()).lists.empty());
  const Measurements one_block = measure(grid(64, 64, 128), vec_and_block(100), 1, 0, 1);
  EXPECT_EQ(analyze(one_block, options()).lists.size(), 1u);
  const Measurements one_family = measure(grid(64, 64, 4096), {vec_and_block(100)[0]}, 4, 0.01, 1);
  const Analysis analysis = analyze(one_family, options());
  for (const Verdict& verdict : analysis.verdicts)
    EXPECT_TRUE(verdict.chosen.variant == "cpu_vec" || verdict.chosen.variant.empty());
}

TEST(Regret, IsNotFlatteredByNoise) {
  // Ten equal candidates: the best of them by chance is no better than the chosen one.
  std::vector<Candidate> candidates;
  for (int i = 0; i < 10; ++i)
    candidates.push_back({{"cpu_vec", fmt::format("unroll={}", i)}, [](const Problem&) { return 1000.0; }});
  double sum = 0;
  constexpr int kRuns = 200;
  for (uint64_t seed = 1; seed <= kRuns; ++seed)
    sum += *cross_fitted_regret(measure({"rows1_seqk64"}, candidates, 10, 0.1, seed).series[0], {"cpu_vec", "unroll=0"});
  EXPECT_NEAR(sum / kRuns, 0, 0.015);
}

TEST(Regret, SeesARealLoss) {
  const std::vector<Candidate> candidates = {{{"cpu_vec", ""}, [](const Problem&) { return 1200.0; }},
                                             {{"cpu_block", ""}, [](const Problem&) { return 1000.0; }}};
  const Measurements measurements = measure({"rows1_seqk64"}, candidates, 20, 0.02, 3);
  EXPECT_NEAR(*cross_fitted_regret(measurements.series[0], {"cpu_vec", ""}), 0.2, 0.03);
  EXPECT_NEAR(*cross_fitted_regret(measurements.series[0], {"cpu_block", ""}), 0, 0.02);
  EXPECT_EQ(cross_fitted_regret(measurements.series[0], {"cpu_other", ""}), std::nullopt);
  EXPECT_EQ(best_choice(measurements.series[0], effects(measurements.series[0])), (Choice{"cpu_block", ""}));
}

TEST(Measurements, RefuseWhatCannotBeCompared) {
  std::vector<SampleRow> rows = simulate({"rows1_seqk64"}, vec_and_block(100), 2, 0, 1);
  EXPECT_TRUE(from_samples(rows, "s", 2));
  const auto broken = [&](auto change) {
    std::vector<SampleRow> copy = rows;
    change(copy[1]);
    const auto measurements = from_samples(copy, "s.csv", 2);
    return measurements ? std::string("accepted") : measurements.error().message;
  };
  EXPECT_NE(broken([](SampleRow& r) { r.parameters = "nonsense"; }).find("s.csv row 2"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.dtype = "f99"; }).find("dtype"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.time_ns = 0; }).find("above 0"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.time_ns = std::numeric_limits<double>::quiet_NaN(); }).find("above 0"),
            std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.device = "other"; }).find("one device"), std::string::npos);
  EXPECT_NE(broken([](SampleRow& r) { r.variant = "cpu_vec", r.tuning = "unroll=4"; }).find("twice"), std::string::npos);
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
  const Measurements measurements = measure({"rows8_seqk64"}, {vec_and_block(100)[1]}, 21, 0.02, 3);
  const auto rows = aggregate(measurements, "AVX2");
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_LT(rows[0].ci_low, rows[0].median_time);
  EXPECT_GT(rows[0].ci_high, rows[0].median_time);
  EXPECT_EQ(rows[0].samples, 21);
  EXPECT_NEAR(rows[0].throughput, 8 * 64 * 3 / (rows[0].mean_time * 1e-9), 1);
}

}  // namespace
}  // namespace metallic::tune
