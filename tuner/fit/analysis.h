// SPDX-License-Identifier: Apache-2.0
// Analysis: turns measurements into rules and thresholds of least weighted regret, with their uncertainty.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/operation.h"
#include "profile/profile.h"
#include "tuner/stats/measurements.h"
#include "tuner/stats/regret.h"

namespace metallic::tune {

struct AnalysisOptions {
  /// What the built-in rules run a problem with; empty if they have no config for it.
  std::function<KernelConfig(const Problem&)> default_choice;
  /// The default tuning of a variant, given by name, for a problem. A rule can leave the tuning to the variant. May be null.
  std::function<std::string(const Problem&, std::string_view)> preference;
  /// The built-in rules of a key; an operation without any falls back to the next level of the dispatcher. May be null.
  std::function<std::vector<Rule>(const RuleKey&)> default_rules;
  /// The profile found before, or an empty one. Its rules and thresholds stay if the new ones are no better.
  Profile earlier;
  /// The device's built-in value of an operation's threshold, kept unless the samples clearly speak against it. By default a
  /// CPU's.
  std::function<int64_t(Op, std::string_view threshold, DType)> default_threshold = [](Op op, std::string_view threshold,
                                                                                       DType dtype) {
    return default_limit(op, threshold, DeviceInfo{.id = "cpu", .backend = "cpu"}, dtype);
  };
  int bootstraps = 200;
  uint64_t seed = 1;
  /// Called with the fraction of the series that is done, and what comes next.
  std::function<void(double share, const std::string& what)> progress = [](double, const std::string&) {};
};

/// One point of a curve: the trimmed mean of log(time_a / time_b) over blocks, positive if b wins.
struct CurvePoint {
  int64_t x;
  double log_ratio;
  double low;  ///< 95 % interval; infinite if no point of the curve has two blocks
  double high;
  double time_a;  ///< median ns of the family's best candidate
  double time_b;
};

/// How two kernel families compare along an axis.
struct Curve {
  Op op;
  DType dtype = DType::f32;
  int threads = 1;
  std::string layout;
  std::string cache;
  Axis axis;             ///< seq_k for softmax, n for matmul
  std::string where;     ///< the fixed part of the shape, e.g. "rows = 64" or "big 4096 k 4096, weights in A"
  std::string family_a;  ///< e.g. "vec", expected to win at low values
  std::string family_b;
  std::vector<CurvePoint> points;   ///< by rising x
  std::optional<double> crossover;  ///< zero of the interpolated log ratio, if its sign clearly changes and only once
  std::optional<double> crossover_low;
  std::optional<double> crossover_high;
};

/// A series with the choices for it and their cross-fitted regret, a fraction.
struct SeriesVerdict {
  const Series* series;
  KernelConfig chosen;  ///< by the new rules
  KernelConfig best;    ///< over all blocks
  KernelConfig default_choice;
  std::optional<double> regret;
  std::optional<double> default_regret;
  std::optional<double> unseen_regret;  ///< of the choice by rules made without this shape
};

struct Analysis {
  std::vector<RuleList> lists;
  std::vector<Threshold> thresholds;
  std::vector<Curve> curves;
  std::vector<SeriesVerdict> verdicts;  ///< one for each series, pointing into the measurements
  RegretSummary regret;                 ///< of the new rules, on the shapes they were made from
  RegretSummary unseen_regret;          ///< held out: of rules made without the shape, for each fifth of the shapes in turn
  RegretSummary default_regret;         ///< of the built-in rules
  double autocorrelation = 0;           ///< of neighbouring blocks; intervals are widened by √((1+ρ)/(1−ρ))
  std::vector<RuleKey> kept;            ///< keys whose earlier rules stay, because the new ones are no better
};

/// Finds the rules of each (op, dtype, threads, layout) in the measurements, which must outlive the analysis.
Analysis analyze(const Measurements& measurements, const AnalysisOptions& options);

}  // namespace metallic::tune
