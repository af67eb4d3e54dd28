#include "tune/selection.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

namespace metallic::tune {
namespace {

// What each further rule must save, in parts of the weight; half a percent is what one threshold may lose against several.
constexpr std::array kPenalties = {0.08, 0.04, 0.02, 0.01, 0.005};
constexpr size_t kFolds = 5;
constexpr double kTie = 0.001;
constexpr double kSure = 1.645;  // one-sided 95 %

std::vector<Rule> fit_rules(std::span<const Point> points, const Axes& axes, const Candidates& candidates, double penalty) {
  auto leaves = fit_tree(points, axes, candidates, penalty);
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

std::vector<double> losses(std::span<const Point> points, const std::vector<Choice>& choices) {
  std::vector<double> found;
  for (size_t i = 0; i < points.size(); ++i) found.push_back(points[i].weight * bounded_loss(points[i], choices[i]));
  return found;
}

}  // namespace

Chosen choose(const std::vector<Rule>& rules, const Series& series, const Defaults& defaults) {
  const Choice built_in = defaults.choice ? defaults.choice(series.problem) : Choice{};
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!matches(rules[i], series.problem)) continue;
    // A rule without a tuning takes the variant's preference, which the built-in choice shows where it is of that variant.
    if (rules[i].tuning.empty() && built_in.variant == rules[i].use) return {built_in, static_cast<int>(i)};
    for (const Arm& arm : series.arms)
      if (arm.choice.variant == rules[i].use && (rules[i].tuning.empty() || arm.choice.tuning == rules[i].tuning))
        return {arm.choice, static_cast<int>(i)};
  }
  return {built_in, -1};
}

Selected select_rules(std::span<const Point> points, const Axes& axes, const Candidates& candidates,
                      const std::vector<Rule>& incumbent, uint64_t seed) {
  const Defaults& defaults = candidates.defaults();
  const std::vector<size_t> folds = folds_of(points, seed);
  const auto fold_of = [&](int group) { return folds[static_cast<size_t>(group)]; };
  std::array<std::vector<Choice>, kPenalties.size()> held_out;
  held_out.fill(std::vector<Choice>(points.size()));
  for (size_t fold = 0; fold < kFolds; ++fold) {
    std::vector<Point> seen;
    for (const Point& point : points)
      if (fold_of(point.group) != fold && fold_of(point.other_group) != fold) seen.push_back(point);
    if (seen.size() == points.size()) continue;
    for (size_t p = 0; p < kPenalties.size(); ++p) {
      const auto rules = seen.empty() ? defaults.rules : fit_rules(seen, axes, candidates, kPenalties[p]);
      for (size_t i = 0; i < points.size(); ++i)
        if (fold_of(points[i].group) == fold) held_out[p][i] = choose(rules, *points[i].series, defaults).choice;
    }
  }

  std::vector<Choice> built_in;
  for (const Point& point : points) built_in.push_back(candidates.choice(0, point));
  std::array<std::vector<double>, kPenalties.size()> lost;
  std::array<double, kPenalties.size()> sums{};
  for (size_t p = 0; p < kPenalties.size(); ++p) {
    lost[p] = losses(points, held_out[p]);
    for (const double each : lost[p]) sums[p] += each;
  }
  const auto best = static_cast<size_t>(std::ranges::min_element(sums) - sums.begin());
  size_t chosen = 0;
  while (chosen < best) {
    const Difference more = difference(lost[chosen], lost[best]);
    if (more.sum <= more.error) break;
    ++chosen;
  }

  Selected selected{.leaves = {}, .rules = {}, .penalty = kPenalties[chosen], .held_out = held_out[chosen]};
  selected.leaves = fit_tree(points, axes, candidates, selected.penalty);
  keep_defaults(selected.leaves, candidates);
  selected.rules = rules_of(selected.leaves, points, axes, candidates);
  // Each rule is surely better on what it was made from; together they must not be worse on what they were not made from.
  const std::vector<double> of_defaults = losses(points, built_in);
  if (difference(lost[chosen], of_defaults).sum > kTie) {
    selected.leaves.clear();
    selected.rules = defaults.rules;
    selected.held_out = built_in;
  }
  if (incumbent.empty()) return selected;
  std::vector<Choice> earlier;
  for (const Point& point : points) earlier.push_back(choose(incumbent, *point.series, defaults).choice);
  const Difference gained = difference(losses(points, earlier), losses(points, selected.held_out));
  if (gained.sum > std::max(kTie, kSure * gained.error)) return selected;
  selected.kept_incumbent = true;
  selected.leaves.clear();
  selected.rules = incumbent;
  selected.held_out = std::move(earlier);  // made from other samples: none of these shapes' times went into them
  return selected;
}

}  // namespace metallic::tune
