// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/analysis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>

#include "tuner/fit/curves.h"
#include "tuner/fit/interpolation.h"
#include "tuner/fit/selection.h"
#include "tuner/fit/thresholds.h"
#include "tuner/stats/block_effects.h"
#include "tuner/stats/replicates.h"

namespace metallic::tune {
namespace {

// The median advantage of the choice over the best candidate of another variant, a fraction; nothing if there is no other.
std::optional<double> margin(const Series& series, const Replicates& replicates, const KernelConfig& choice) {
  double own = 0, other = std::numeric_limits<double>::infinity();
  for (size_t c = 0; c < series.candidates.size(); ++c) {
    const KernelConfig& config = series.candidates[c].config;
    const double time = replicates.log_time(0, c);
    if (config == choice)
      own = time;
    else if (config.variant != choice.variant)
      other = std::min(other, time);
  }
  if (std::isinf(other)) return std::nullopt;
  return std::expm1(other - own);
}

// Weighted means over the series that a rule decides.
class EvidenceSum {
 public:
  void add(const SeriesVerdict& verdict, double weight, std::optional<double> margin_over_others) {
    add(regret_, verdict.regret, weight);
    add(default_regret_, verdict.default_regret, weight);
    add(margin_, margin_over_others, weight);
    for (const CandidateTimes& candidate : verdict.series->candidates) samples_ += candidate.timed_blocks();
    ++series_;
  }
  Evidence evidence() const {
    return {.regret = mean(regret_),
            .default_regret = mean(default_regret_),
            .margin = mean(margin_),
            .samples = samples_,
            .note = series_ == 0 ? "not measured" : fmt::format("{} problem{}", series_, series_ == 1 ? "" : "s")};
  }

 private:
  struct Mean {
    double sum = 0;
    double weight = 0;
  };
  static void add(Mean& mean, std::optional<double> value, double weight) {
    if (value) mean.sum += weight * *value, mean.weight += weight;
  }
  static std::optional<double> mean(const Mean& m) { return m.weight > 0 ? std::optional(m.sum / m.weight) : std::nullopt; }

  Mean regret_, default_regret_, margin_;
  int64_t samples_ = 0;
  int series_ = 0;
};

// Sets the weights for fitting, 1 in sum: half by use and half evenly, because an application also runs shapes that its model's
// list does not have. Equal weights say nothing about use.
void set_weights(std::vector<FitPoint>& points) {
  double sum = 0;
  bool equal = true;
  for (const FitPoint& point : points) {
    sum += point.series->weight;
    equal = equal && point.series->weight == points.front().series->weight;
  }
  const double share = equal ? 0 : 0.5;
  for (FitPoint& point : points) {
    point.even = (1 - share) / static_cast<double>(points.size());
    point.weight = point.even + (share > 0 ? share * point.series->weight / sum : 0);
  }
}

// Cross-validation leaves out a shape with all of its cache states.
void set_groups(std::vector<FitPoint>& points) {
  std::map<std::string, int> groups;
  for (FitPoint& point : points)
    point.group = point.other_group = groups.try_emplace(point.series->label, static_cast<int>(groups.size())).first->second;
}

const std::vector<Rule>& earlier_rules(const Profile& earlier, const RuleKey& key) {
  static const std::vector<Rule> none;
  const auto list = std::ranges::find(earlier.lists, key, &RuleList::key);
  return list == earlier.lists.end() ? none : list->rules;
}

std::vector<Threshold> earlier_thresholds(const Profile& earlier, const RuleKey& key) {
  std::vector<Threshold> found;
  std::ranges::copy_if(earlier.thresholds, std::back_inserter(found), [&](const Threshold& t) {
    return t.op == key.op && t.dtype == key.dtype && t.threads == key.threads && t.layout == key.layout;
  });
  return found;
}

// Adds the rules, verdicts and thresholds of one rule key.
void analyze_key(const RuleKey& key, std::vector<FitPoint> points, const std::map<const Series*, const BlockEffects*>& effects_of,
                 const AnalysisOptions& options, Analysis& analysis) {
  const size_t real = points.size();
  const ModelAxes& axes_of_op = tuner_operation(key.op).axes;
  for (FitPoint& point : points) point.x = *value(point.series->problem, axes_of_op.first);
  set_weights(points);
  set_groups(points);
  std::vector<double> whole;
  for (const FitPoint& point : points) whole.push_back(point.weight);
  Interpolation interpolation;
  interpolation.fill(points);
  const Defaults defaults{.choice = options.default_choice,
                          .rules = options.default_rules ? options.default_rules(key) : std::vector<Rule>(),
                          .preference = options.preference};
  const Candidates candidates(points, defaults);
  SelectedRules selected = select_rules(points, axes_of_op, candidates, earlier_rules(options.earlier, key), options.seed);
  if (selected.kept_incumbent) analysis.kept.push_back(key);

  std::vector<EvidenceSum> sums(selected.rules.size());
  for (size_t i = 0; i < real; ++i) {
    const Series& series = *points[i].series;
    const BlockEffects& of_series = *effects_of.at(&series);
    const RuleChoice chosen = choose(selected.rules, series, defaults);
    SeriesVerdict verdict{.series = &series,
                          .chosen = chosen.config,
                          .best = best_config(series, of_series),
                          .default_choice = candidates.choice(0, points[i]),
                          .regret = cross_fitted_regret(series, chosen.config),
                          .default_regret = cross_fitted_regret(series, candidates.choice(0, points[i])),
                          .unseen_regret = cross_fitted_regret(series, selected.held_out[i])};
    if (chosen.rule >= 0)
      sums[static_cast<size_t>(chosen.rule)].add(verdict, whole[i], margin(series, *points[i].replicates, chosen.config));
    analysis.verdicts.push_back(std::move(verdict));
  }
  for (size_t i = 0; i < sums.size(); ++i) selected.rules[i].evidence = sums[i].evidence();
  analysis.lists.push_back({key, std::move(selected.rules)});
  // The thresholds that were found with earlier rules stay with them.
  auto found = selected.kept_incumbent ? earlier_thresholds(options.earlier, key) : std::vector<Threshold>();
  if (found.empty()) found = thresholds(points, selected.leaves, candidates, options);
  analysis.thresholds.insert(analysis.thresholds.end(), found.begin(), found.end());
}

RegretSummary summary_of(const std::vector<SeriesVerdict>& verdicts, std::optional<double> SeriesVerdict::*which) {
  std::vector<WeightedRegret> scored;
  for (const SeriesVerdict& verdict : verdicts)
    if (verdict.*which) scored.push_back({*(verdict.*which), verdict.series->weight});
  return summarize(scored);
}

}  // namespace

Analysis analyze(const Measurements& measurements, const AnalysisOptions& options) {
  Analysis analysis;
  std::vector<BlockEffects> all_effects;
  // One paired block cannot tell a fast candidate from a lucky one. An unpaired result can be a mean over many runs.
  for (const Series& series : measurements.series) all_effects.push_back(fit_block_effects(series, measurements.paired ? 2 : 1));
  analysis.autocorrelation = autocorrelation(all_effects);
  std::vector<Replicates> replicates;
  replicates.reserve(measurements.series.size());
  std::vector<FitPoint> points;
  std::map<const Series*, const BlockEffects*> effects_of;
  for (size_t i = 0; i < measurements.series.size(); ++i) {
    const Series& series = measurements.series[i];
    effects_of[&series] = &all_effects[i];
    replicates.emplace_back(all_effects[i], options.bootstraps + 1, options.seed + i, analysis.autocorrelation);
    if (!series.candidates.empty()) points.push_back({.x = 0, .series = &series, .replicates = &replicates.back()});
  }

  std::vector<std::pair<RuleKey, std::vector<FitPoint>>> groups;
  for (const FitPoint& point : points) {
    const RuleKey key = rule_key(point.series->problem, Numerics::fast);
    auto group = std::ranges::find(groups, key, &std::pair<RuleKey, std::vector<FitPoint>>::first);
    if (group == groups.end()) group = groups.insert(groups.end(), {key, {}});
    group->second.push_back(point);
  }
  for (size_t done = 0; auto& [key, of_key] : groups) {
    options.progress(static_cast<double>(done) / static_cast<double>(points.size()),
                     fmt::format("{} {} {}", name(key.op), name(key.dtype), key.layout));
    done += of_key.size();
    analyze_key(key, std::move(of_key), effects_of, options, analysis);
  }
  options.progress(1, "curves");
  analysis.regret = summary_of(analysis.verdicts, &SeriesVerdict::regret);
  analysis.unseen_regret = summary_of(analysis.verdicts, &SeriesVerdict::unseen_regret);
  analysis.default_regret = summary_of(analysis.verdicts, &SeriesVerdict::default_regret);
  analysis.curves = curves(measurements, options.bootstraps, options.seed);
  return analysis;
}

}  // namespace metallic::tune
