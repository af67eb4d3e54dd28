// Analysis: measurements → thresholds and rules of least weighted regret, with their uncertainty.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "profile/profile.h"
#include "tuner/stats/measurements.h"
#include "tuner/stats/regret.h"

namespace metallic::tune {

struct AnalysisOptions {
  /// What the built-in rules run a problem with; nothing where no candidate of theirs was timed.
  std::function<Choice(const Problem&)> default_choice;
  /// The tuning that a variant, given by name, prefers for a problem: a rule may leave it to the variant. Nothing where nobody
  /// knows.
  std::function<std::string(const Problem&, std::string_view)> preference;
  /// Those rules themselves; an operation without any falls back to the next level of the dispatcher.
  std::function<std::vector<Rule>(const RuleKey&)> default_rules;
  /// What was found before: its rules and thresholds stay where the new ones are no better. Empty: nothing.
  Profile earlier;
  /// The device's built-in thresholds, kept where the samples do not speak clearly against them.
  int64_t softmax_vec_block = 1024;
  std::function<int64_t(DType)> smalln_max_n = [](DType) { return 16; };
  int64_t simd_m_min = 64;
  int64_t simd_n_min = 16;
  int bootstraps = 200;
  uint64_t seed = 1;
  /// Told what share of the series is done, and what is next.
  std::function<void(double share, const std::string& what)> progress = [](double, const std::string&) {};
};

/// How two families compare along an axis: the trimmed mean of log(time_a / time_b) over blocks, positive where b wins.
struct Curve {
  Op op;
  DType dtype = DType::f32;
  int threads = 1;
  std::string layout;
  std::string cache;
  Axis axis;             ///< seq_k for softmax, n for matmul
  std::string where;     ///< what is held fixed, e.g. "rows = 64" or "big 4096 k 4096, weights in A"
  std::string family_a;  ///< e.g. "vec", the one that is expected to win at low values
  std::string family_b;
  struct Point {
    int64_t x;
    double log_ratio;
    double low;  ///< 95 % interval; without bounds where no point of the curve has two blocks
    double high;
    double time_a;  ///< median ns of the family's best candidate
    double time_b;
  };
  std::vector<Point> points;        ///< by rising x
  std::optional<double> crossover;  ///< zero of the interpolated log ratio, if its sign clearly changes, and only once
  std::optional<double> crossover_low;
  std::optional<double> crossover_high;
};

/// A series with what was decided for it.
struct Verdict {
  const Series* series;
  Choice chosen;  ///< by the new rules
  Choice best;    ///< over all blocks
  Choice default_choice;
  std::optional<double> regret;  ///< cross-fitted, a fraction
  std::optional<double> default_regret;
  std::optional<double> unseen_regret;  ///< of the choice by rules that were made without this shape
};

struct Analysis {
  std::vector<RuleList> lists;
  std::vector<Threshold> thresholds;
  std::vector<Curve> curves;
  std::vector<Verdict> verdicts;  ///< one a series, pointing into the measurements
  RegretSummary regret;           ///< of the new rules over all series
  RegretSummary unseen_regret;    ///< of rules made without the shape, for each fifth of the shapes in turn
  RegretSummary default_regret;   ///< of the built-in ones
  double autocorrelation = 0;     ///< of neighbouring blocks; intervals are widened by √((1+ρ)/(1−ρ))
  std::vector<RuleKey> kept;      ///< where earlier rules stayed, the new ones being no better
};

/// The rules of each (op, dtype, threads, layout) in the measurements. Measurements must outlive the analysis.
Analysis analyze(const Measurements& measurements, const AnalysisOptions& options);

}  // namespace metallic::tune
