// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "tuner/fit/acceptance.h"

namespace metallic::tune {
namespace {

// The degrees of detail: what each further rule must save, a fraction of the weight.
constexpr std::array kPenalties = {0.04, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.00025};
constexpr size_t kFolds = 5;
constexpr double kMaxPriceOfSimplicity = 0.0005;  // protects few important shapes, whose error is large
constexpr AcceptanceTest kOverDefaults{.min_gain = 0}, kOverIncumbent{.min_gain = 0.001};

std::vector<Rule> fit_rules(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates, double penalty,
                            int replicate) {
  auto leaves = fit_tree(points, axes, candidates, penalty, replicate);
  keep_defaults(leaves, candidates);
  return rules_of(leaves, points, axes, candidates);
}

// The fold of each group, at random.
std::vector<size_t> folds_of(std::span<const FitPoint> points, uint64_t seed) {
  size_t groups = 0;
  for (const FitPoint& point : points) groups = std::max({groups, point.group + size_t{1}, point.other_group + size_t{1}});
  std::vector<size_t> order(groups), folds(groups);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::shuffle(order, std::mt19937_64(seed));
  for (size_t i = 0; i < groups; ++i) folds[order[i]] = i % kFolds;
  return folds;
}

// The sum of pairwise differences and its standard error.
struct Difference {
  double sum = 0;
  double error = 0;
};
Difference difference(const std::vector<double>& one, const std::vector<double>& other) {
  Difference found;
  const auto n = static_cast<double>(one.size());
  for (size_t i = 0; i < one.size(); ++i) found.sum += one[i] - other[i];
  double squares = 0;
  for (size_t i = 0; i < one.size(); ++i) squares += std::pow(one[i] - other[i] - found.sum / n, 2);
  found.error = n > 1 ? std::sqrt(squares * n / (n - 1)) : 0;
  return found;
}

using Choices = std::vector<KernelConfig>;

// The weighted loss of each point by its choice.
std::vector<double> losses(std::span<const FitPoint> points, const Choices& choices, int replicate) {
  std::vector<double> found;
  for (size_t i = 0; i < points.size(); ++i) found.push_back(points[i].weight * bounded_loss(points[i], choices[i], replicate));
  return found;
}

Choices choose_all(std::span<const FitPoint> points, const std::vector<Rule>& rules, const Defaults& defaults) {
  Choices choices;
  for (const FitPoint& point : points) choices.push_back(choose(rules, *point.series, defaults).config);
  return choices;
}

// Makes rules from the blocks of one parity and scores them on the other, both ways. The scores do not share the noise that the
// rules were made from.
template <typename Choose>
std::vector<double> cross_fitted(std::span<const FitPoint> points, const Choose& choices_of) {
  std::vector<double> sum(points.size(), 0);
  for (const int parity : {0, 1}) {
    const Replicates& any = *points.front().replicates;
    const auto lost = losses(points, choices_of(any.half(parity)), any.half(1 - parity));
    for (size_t i = 0; i < points.size(); ++i) sum[i] += lost[i] / 2;
  }
  return sum;
}

// The choice of rules made without a point's shape, for each point.
Choices unseen_choices(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates, double penalty,
                       uint64_t seed) {
  const std::vector<size_t> folds = folds_of(points, seed);
  const auto fold_of = [&](int group) { return folds[static_cast<size_t>(group)]; };
  Choices found(points.size());
  for (size_t fold = 0; fold < kFolds; ++fold) {
    std::vector<FitPoint> seen;
    for (const FitPoint& point : points)
      if (fold_of(point.group) != fold && fold_of(point.other_group) != fold) seen.push_back(point);
    if (seen.size() == points.size()) continue;
    const auto rules = seen.empty() ? candidates.defaults().rules : fit_rules(seen, axes, candidates, penalty, 0);
    for (size_t i = 0; i < points.size(); ++i)
      if (fold_of(points[i].group) == fold) found[i] = choose(rules, *points[i].series, candidates.defaults()).config;
  }
  return found;
}

// The cross-fitted losses of each degree of detail, and the degree that is taken.
struct DetailChoice {
  std::array<std::vector<double>, kPenalties.size()> lost;
  size_t chosen = 0;
};

DetailChoice choose_detail(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates) {
  DetailChoice detail;
  std::array<double, kPenalties.size()> sums{};
  for (size_t p = 0; p < kPenalties.size(); ++p) {
    detail.lost[p] = cross_fitted(points, [&](int half) {
      return choose_all(points, fit_rules(points, axes, candidates, kPenalties[p], half), candidates.defaults());
    });
    for (const double each : detail.lost[p]) sums[p] += each;
  }
  const auto best = static_cast<size_t>(std::ranges::min_element(sums) - sums.begin());
  for (; detail.chosen < best; ++detail.chosen) {
    const Difference more = difference(detail.lost[detail.chosen], detail.lost[best]);
    if (more.sum <= std::min(more.error, kMaxPriceOfSimplicity)) break;
  }
  return detail;
}

// Whether losses are surely below those of the built-in rules, by weight or with all points alike: the noise of a few points with
// much weight hides less then.
bool beats_defaults(std::span<const FitPoint> points, const std::vector<double>& of_defaults, const std::vector<double>& lost) {
  const auto evenly = [&](std::vector<double> weighted) {
    for (size_t i = 0; i < points.size(); ++i) weighted[i] *= points[i].weight > 0 ? points[i].even / points[i].weight : 0;
    return weighted;
  };
  const Difference gain = difference(of_defaults, lost), even_gain = difference(evenly(of_defaults), evenly(lost));
  return kOverDefaults.accepts(gain.sum, gain.error) || (gain.sum > 0 && kOverDefaults.accepts(even_gain.sum, even_gain.error));
}

}  // namespace

RuleChoice choose(const std::vector<Rule>& rules, const Series& series, const Defaults& defaults) {
  const KernelConfig built_in = defaults.choice ? defaults.choice(series.problem) : KernelConfig{};
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!matches(rules[i], series.problem)) continue;
    KernelConfig config{rules[i].use, rules[i].tuning};
    // A rule without a tuning takes the variant's default tuning: that of the built-in choice if it is of the same variant.
    if (config.tuning.empty() && built_in.variant == config.variant)
      config = built_in;
    else if (config.tuning.empty() && defaults.preference)
      config.tuning = defaults.preference(series.problem, config.variant);
    if (series.find(config)) return {config, static_cast<int>(i)};
  }
  return {built_in, -1};
}

SelectedRules select_rules(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates,
                           const std::vector<Rule>& incumbent, uint64_t seed) {
  const Defaults& defaults = candidates.defaults();
  const DetailChoice detail = choose_detail(points, axes, candidates);
  SelectedRules selected{.leaves = {}, .rules = {}, .penalty = kPenalties[detail.chosen], .held_out = {}};
  selected.leaves = fit_tree(points, axes, candidates, selected.penalty);
  keep_defaults(selected.leaves, candidates);
  selected.rules = rules_of(selected.leaves, points, axes, candidates);
  // Each rule passed its test on the samples it was made from. All rules together must pass on samples they were not made from.
  std::vector<double> of_new = detail.lost[detail.chosen];
  const auto always = [&](const Choices& choices) { return cross_fitted(points, [&](int) { return choices; }); };
  Choices built_in;
  for (const FitPoint& point : points) built_in.push_back(candidates.choice(0, point));
  const auto of_defaults = always(built_in);
  if (!beats_defaults(points, of_defaults, of_new)) {
    selected.leaves.clear();
    selected.rules = defaults.rules;
    of_new = of_defaults;
  }
  if (!incumbent.empty()) {
    const Difference gain = difference(always(choose_all(points, incumbent, defaults)), of_new);
    if (!kOverIncumbent.accepts(gain.sum, gain.error)) {
      selected.kept_incumbent = true;
      selected.leaves.clear();
      selected.rules = incumbent;
    }
  }
  // Existing rules were not made from these samples, so all shapes are unseen.
  selected.held_out = selected.leaves.empty() ? choose_all(points, selected.rules, defaults)
                                              : unseen_choices(points, axes, candidates, selected.penalty, seed);
  return selected;
}

}  // namespace metallic::tune
