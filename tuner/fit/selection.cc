#include "tuner/fit/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

namespace metallic::tune {
namespace {

// What each further rule must save, in parts of the weight; half a percent is what one threshold may lose against several.
constexpr std::array kPenalties = {0.04, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.00025};
constexpr size_t kFolds = 5;
constexpr double kTie = 0.001;
constexpr double kPriceOfSimplicity = 0.0005;  // else a few dear shapes, whose error is large, would be given up
constexpr double kSure = 1.645;                // one-sided 95 %

std::vector<Rule> fit_rules(std::span<const Point> points, const Axes& axes, const Candidates& candidates, double penalty,
                            int replicate) {
  auto leaves = fit_tree(points, axes, candidates, penalty, replicate);
  keep_defaults(leaves, candidates);
  return rules_of(leaves, points, axes, candidates);
}

// The fold of each group, dealt out in random order.
std::vector<size_t> folds_of(std::span<const Point> points, uint64_t seed) {
  size_t groups = 0;
  for (const Point& point : points) groups = std::max({groups, point.group + size_t{1}, point.other_group + size_t{1}});
  std::vector<size_t> order(groups), folds(groups);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::shuffle(order, std::mt19937_64(seed));
  for (size_t i = 0; i < groups; ++i) folds[order[i]] = i % kFolds;
  return folds;
}

// The sum of differences and its standard error.
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

// What each point loses, weighted, by its choice.
using Choices = std::vector<Choice>;
std::vector<double> losses(std::span<const Point> points, const Choices& choices, int replicate) {
  std::vector<double> found;
  for (size_t i = 0; i < points.size(); ++i) found.push_back(points[i].weight * bounded_loss(points[i], choices[i], replicate));
  return found;
}

Choices choose_all(std::span<const Point> points, const std::vector<Rule>& rules, const Defaults& defaults) {
  Choices choices;
  for (const Point& point : points) choices.push_back(choose(rules, *point.series, defaults).choice);
  return choices;
}

// Rules that are made from the blocks of one parity, each tried on the others: what a way of making rules loses when it does not
// know the noise of what it is judged by.
template <typename Choose>
std::vector<double> cross_fitted(std::span<const Point> points, const Choose& choices_of) {
  std::vector<double> sum(points.size(), 0);
  for (const int parity : {0, 1}) {
    const Replicates& any = *points.front().replicates;
    const auto lost = losses(points, choices_of(any.half(parity)), any.half(1 - parity));
    for (size_t i = 0; i < points.size(); ++i) sum[i] += lost[i] / 2;
  }
  return sum;
}

// For each point, what rules made without its shape would choose.
Choices unseen_choices(std::span<const Point> points, const Axes& axes, const Candidates& candidates, double penalty,
                       uint64_t seed) {
  const std::vector<size_t> folds = folds_of(points, seed);
  const auto fold_of = [&](int group) { return folds[static_cast<size_t>(group)]; };
  Choices found(points.size());
  for (size_t fold = 0; fold < kFolds; ++fold) {
    std::vector<Point> seen;
    for (const Point& point : points)
      if (fold_of(point.group) != fold && fold_of(point.other_group) != fold) seen.push_back(point);
    if (seen.size() == points.size()) continue;
    const auto rules = seen.empty() ? candidates.defaults().rules : fit_rules(seen, axes, candidates, penalty, 0);
    for (size_t i = 0; i < points.size(); ++i)
      if (fold_of(points[i].group) == fold) found[i] = choose(rules, *points[i].series, candidates.defaults()).choice;
  }
  return found;
}

}  // namespace

Chosen choose(const std::vector<Rule>& rules, const Series& series, const Defaults& defaults) {
  const Choice built_in = defaults.choice ? defaults.choice(series.problem) : Choice{};
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!matches(rules[i], series.problem)) continue;
    Choice choice{rules[i].use, rules[i].tuning};
    // A rule without a tuning takes the variant's preference, which the built-in choice shows where it is of that variant.
    if (choice.tuning.empty() && built_in.variant == choice.variant)
      choice = built_in;
    else if (choice.tuning.empty() && defaults.preference)
      choice.tuning = defaults.preference(series.problem, choice.variant);
    if (series.find(choice)) return {choice, static_cast<int>(i)};
  }
  return {built_in, -1};
}

Selected select_rules(std::span<const Point> points, const Axes& axes, const Candidates& candidates,
                      const std::vector<Rule>& incumbent, uint64_t seed) {
  const Defaults& defaults = candidates.defaults();
  std::array<std::vector<double>, kPenalties.size()> lost;
  std::array<double, kPenalties.size()> sums{};
  for (size_t p = 0; p < kPenalties.size(); ++p) {
    lost[p] = cross_fitted(
        points, [&](int half) { return choose_all(points, fit_rules(points, axes, candidates, kPenalties[p], half), defaults); });
    for (const double each : lost[p]) sums[p] += each;
  }
  const auto best = static_cast<size_t>(std::ranges::min_element(sums) - sums.begin());
  size_t chosen = 0;
  while (chosen < best) {
    const Difference more = difference(lost[chosen], lost[best]);
    if (more.sum <= std::min(more.error, kPriceOfSimplicity)) break;
    ++chosen;
  }

  Selected selected{.leaves = {}, .rules = {}, .penalty = kPenalties[chosen], .held_out = {}};
  selected.leaves = fit_tree(points, axes, candidates, selected.penalty);
  keep_defaults(selected.leaves, candidates);
  selected.rules = rules_of(selected.leaves, points, axes, candidates);
  // Each rule is surely better on what it was made from; together they must surely be better on what they were not made from.
  std::vector<double> of_new = lost[chosen];
  const auto always = [&](const Choices& choices) { return cross_fitted(points, [&](int) { return choices; }); };
  Choices built_in;
  for (const Point& point : points) built_in.push_back(candidates.choice(0, point));
  const auto of_defaults = always(built_in);
  // Where all points count the same, the noise of the few that use makes weigh much hides less.
  const auto evenly = [&](std::vector<double> weighted) {
    for (size_t i = 0; i < points.size(); ++i) weighted[i] *= points[i].weight > 0 ? points[i].even / points[i].weight : 0;
    return weighted;
  };
  const Difference gained = difference(of_defaults, of_new), gained_evenly = difference(evenly(of_defaults), evenly(of_new));
  const auto surely = [](const Difference& gain) { return gain.sum > kSure * gain.error; };
  if (!surely(gained) && !(gained.sum > 0 && surely(gained_evenly))) {
    selected.leaves.clear();
    selected.rules = defaults.rules;
    of_new = of_defaults;
  }
  if (!incumbent.empty()) {
    const Difference over_incumbent = difference(always(choose_all(points, incumbent, defaults)), of_new);
    if (over_incumbent.sum <= std::max(kTie, kSure * over_incumbent.error)) {
      selected.kept_incumbent = true;
      selected.leaves.clear();
      selected.rules = incumbent;
    }
  }
  // Rules that are not made from these samples have not seen any of the shapes.
  selected.held_out = selected.leaves.empty() ? choose_all(points, selected.rules, defaults)
                                              : unseen_choices(points, axes, candidates, selected.penalty, seed);
  return selected;
}

}  // namespace metallic::tune
