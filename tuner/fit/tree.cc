// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/tree.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "tuner/fit/acceptance.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

// The columns of points sorted by x.
std::vector<LossColumn> columns_of(std::span<const FitPoint> points, const Candidates& candidates, int replicate) {
  std::vector<LossColumn> columns;
  for (const FitPoint& point : points) {
    if (columns.empty() || columns.back().x != point.x) columns.push_back({point.x, std::vector<double>(candidates.count(), 0)});
    for (size_t c = 0; c < candidates.count(); ++c) columns.back().loss[c] += point.weight * candidates.loss(c, point, replicate);
  }
  return columns;
}

// What leaves are fitted from.
struct FitSettings {
  const Candidates& candidates;
  double penalty;  // of a rule
  int replicate;
};

Leaf make_leaf(std::vector<FitPoint> points, std::vector<Range> within, const FitSettings& settings) {
  Leaf leaf{.within = std::move(within), .points = std::move(points), .columns = {}, .segments = {}};
  leaf.columns = columns_of(leaf.points, settings.candidates, settings.replicate);
  std::vector<double> penalties(settings.candidates.count(), settings.penalty);
  // The built-in rules pay for each of their rules. Otherwise a better border would have to save a whole penalty over theirs.
  penalties[0] *= static_cast<double>(std::max<size_t>(settings.candidates.defaults().rules.size(), 1));
  Segmentation found = fit_segments(leaf.columns, penalties);
  leaf.segments = std::move(found.segments);
  leaf.cost = found.cost;
  return leaf;
}

void narrow(std::vector<Range>& ranges, const Range& by) {
  auto at = std::ranges::find(ranges, by.axis, &Range::axis);
  if (at == ranges.end()) at = ranges.insert(at, {.axis = by.axis, .low = {}, .high = {}});
  if (by.low) at->low = at->low ? std::max(*at->low, *by.low) : by.low;
  if (by.high) at->high = at->high ? std::min(*at->high, *by.high) : by.high;
}

// Splits a leaf at a border on an axis; `last` is in the lower part.
std::pair<Leaf, Leaf> split_at(const Leaf& leaf, Axis axis, int64_t last, const FitSettings& settings) {
  std::vector<FitPoint> low, high;
  for (const FitPoint& point : leaf.points) (*value(point.series->problem, axis) <= last ? low : high).push_back(point);
  auto within_low = leaf.within, within_high = leaf.within;
  narrow(within_low, {.axis = axis, .low = {}, .high = last});
  narrow(within_high, {.axis = axis, .low = last + 1, .high = {}});
  return {make_leaf(std::move(low), std::move(within_low), settings),
          make_leaf(std::move(high), std::move(within_high), settings)};
}

void grow(Leaf leaf, const ModelAxes& axes, int depth, const FitSettings& settings, std::vector<Leaf>& leaves) {
  std::optional<std::pair<Leaf, Leaf>> best;
  double least = leaf.cost - 1e-12;
  for (const Axis axis : axes.splits) {
    if (depth == 0) break;
    std::set<int64_t> values;
    for (const FitPoint& point : leaf.points) values.insert(*value(point.series->problem, axis));
    for (auto at = values.begin(); at != values.end() && std::next(at) != values.end(); ++at) {
      auto parts = split_at(leaf, axis, geometric_middle(*at, *std::next(at)), settings);
      if (const double cost = parts.first.cost + parts.second.cost; cost < least) least = cost, best = std::move(parts);
    }
  }
  if (!best) {
    leaves.push_back(std::move(leaf));
    return;
  }
  grow(std::move(best->first), axes, depth - 1, settings, leaves);
  grow(std::move(best->second), axes, depth - 1, settings, leaves);
}

// The points of a segment at which its candidate differs from what the built-in rules run.
std::vector<FitPoint> where_different(const Leaf& leaf, const AxisSegment& segment, const Candidates& candidates) {
  std::vector<FitPoint> found;
  for (const FitPoint& point : leaf.points)
    if (point.x >= leaf.columns[segment.begin].x && point.x <= leaf.columns[segment.end - 1].x &&
        candidates.choice(0, point) != candidates.choice(segment.candidate, point))
      found.push_back(point);
  return found;
}

// What a candidate gains over the built-in rules: the mean over points, with the values one standard error below and above.
struct Gain {
  double mean, low, high;
  double error() const { return (high - low) / 2; }
  double error_below() const { return mean - low; }
};

Gain gain(std::span<const FitPoint> points, size_t candidate, const Candidates& candidates, double FitPoint::*weight) {
  double weights = 0;
  for (const FitPoint& point : points) weights += point.*weight;
  const auto of_replicate = [&](int replicate) {
    double sum = 0;
    for (const FitPoint& point : points)
      sum += point.*weight * (candidates.loss(0, point, replicate) - candidates.loss(candidate, point, replicate));
    return weights > 0 ? sum / weights : 0;
  };
  const double mean = of_replicate(0);
  std::vector<double> gains;
  const int replicates = points.empty() ? 0 : points.front().replicates->count();
  for (int replicate = 1; replicate < replicates; ++replicate) gains.push_back(of_replicate(replicate));
  // The range of the middle 68 %: a resample whose median is an outlier would inflate a standard deviation.
  return gains.empty() ? Gain{mean, mean, mean} : Gain{mean, quantile(gains, 0.16), quantile(gains, 0.84)};
}

// Whether a segment's candidate is surely better than the built-in rules where they differ.
bool replaces_defaults(const Leaf& leaf, const AxisSegment& segment, const Candidates& candidates) {
  const auto points = where_different(leaf, segment, candidates);
  // The model's use can give a few shapes as much weight as all others, and those are no surer. With all points alike, more is
  // significant.
  const Gain weighted = gain(points, segment.candidate, candidates, &FitPoint::weight),
             even = gain(points, segment.candidate, candidates, &FitPoint::even);
  const auto accepted = [&](const AcceptanceTest& test) {
    return test.accepts(weighted.mean, weighted.error()) || (weighted.mean > 0 && test.accepts(even.mean, even.error()));
  };
  const auto rivals = static_cast<double>(std::max<size_t>(candidates.count(), 3) - 2);
  const auto columns = static_cast<double>(leaf.columns.size()), length = static_cast<double>(segment.end - segment.begin);
  // A small gain competes with all rivals at all places, by either weighting. A larger one competes with the rivals over the
  // segments of its length, at half the level: two tunings of flat ground then agree 99 times in 100. A large one is tested for
  // itself, by its lower half only: a gain that may be even larger is no less certain.
  const AcceptanceTest small{.min_gain = 0.005, .comparisons = 2 * rivals * columns},
      medium{.min_gain = 0.04, .comparisons = 4 * rivals * columns / length}, large{.min_gain = 0.05};
  return accepted(small) || accepted(medium) || large.accepts(weighted.mean, weighted.error_below());
}

// Mean log(time of one candidate / time of another) at a column; nothing if no point has both.
std::optional<double> log_ratio(const Leaf& leaf, int64_t x, size_t one, size_t other, const Candidates& candidates) {
  double sum = 0, weight = 0;
  for (const FitPoint& point : leaf.points) {
    if (point.x != x) continue;
    const double a = candidates.loss(one, point), b = candidates.loss(other, point);
    if (std::max(a, b) >= kNotTimed) continue;
    sum += point.weight * (std::log1p(a) - std::log1p(b));
    weight += point.weight;
  }
  return weight > 0 ? std::optional(sum / weight) : std::nullopt;
}

// The intersection of two boxes; nothing if it is empty.
std::optional<std::vector<Range>> intersection(std::vector<Range> ranges, const std::vector<Range>& with) {
  for (const Range& range : with) narrow(ranges, range);
  for (const Range& range : ranges)
    if (range.low && range.high && *range.low > *range.high) return std::nullopt;
  return ranges;
}

bool is_within(const std::vector<Range>& inner, const std::vector<Range>& outer) {
  return std::ranges::all_of(outer, [&](const Range& range) {
    const auto at = std::ranges::find(inner, range.axis, &Range::axis);
    return at != inner.end() && (!range.low || (at->low && *at->low >= *range.low)) &&
           (!range.high || (at->high && *at->high <= *range.high));
  });
}

// Appends the built-in rules, cut to a box. A rule that an earlier one of the same variant covers is left out. One of another
// variant stays: it runs if the earlier one rejects the problem.
void append_defaults(const std::vector<Range>& box, const std::vector<Rule>& defaults, std::vector<Rule>& rules) {
  const size_t begin = rules.size();
  for (const Rule& rule : defaults) {
    auto part = intersection(box, rule.when);
    const auto covered = [&](const Rule& earlier) { return earlier.use == rule.use && is_within(*part, earlier.when); };
    if (part && std::none_of(rules.begin() + static_cast<std::ptrdiff_t>(begin), rules.end(), covered))
      rules.push_back({.when = std::move(*part), .use = rule.use, .tuning = rule.tuning, .evidence = {}});
  }
}

// The range of measured values on an axis, doubled on both sides.
Range reach(std::span<const FitPoint> points, Axis axis) {
  int64_t least = std::numeric_limits<int64_t>::max(), largest = 0;
  for (const FitPoint& point : points) {
    const int64_t at = *value(point.series->problem, axis);
    least = std::min(least, at), largest = std::max(largest, at);
  }
  Range range{.axis = axis, .low = {}, .high = {}};
  if (least > 1) range.low = least / 2;
  range.high = 2 * largest;
  return range;
}

}  // namespace

Candidates::Candidates(std::vector<FitPoint>& points, const Defaults& defaults) : defaults_(defaults), choices_(1) {
  std::set<KernelConfig> timed;
  for (const FitPoint& point : points)
    for (const CandidateTimes& candidate : point.series->candidates) timed.insert(candidate.config);
  if (defaults.preference)
    for (const KernelConfig& choice : timed)
      if (!choice.tuning.empty() && choices_.back().variant != choice.variant) choices_.push_back({choice.variant, ""});
  varying_ = choices_.size();
  choices_.insert(choices_.end(), timed.begin(), timed.end());
  for (size_t i = 0; i < points.size(); ++i) {
    FitPoint& point = points[i];
    const Problem& problem = point.series->problem;
    point.index = i;
    varying_choices_.push_back(defaults.choice ? defaults.choice(problem) : KernelConfig{});
    for (size_t c = 1; c < varying_; ++c)
      varying_choices_.push_back({choices_[c].variant, defaults.preference(problem, choices_[c].variant)});
    for (size_t c = 0; c < count(); ++c) {
      const CandidateTimes* found = point.series->find(choice(c, point));
      in_series_.push_back(found ? static_cast<int>(found - point.series->candidates.data()) : -1);
    }
  }
}

double Candidates::loss(size_t candidate, const FitPoint& point, int replicate) const {
  const int place = in_series_[point.index * count() + candidate];
  return place < 0 ? kNotTimed : std::min(point.replicates->loss(replicate, static_cast<size_t>(place)), kNotTimed);
}

double bounded_loss(const FitPoint& point, const KernelConfig& choice, int replicate) {
  return std::min(loss(point, choice, replicate), kNotTimed);
}

std::vector<Leaf> fit_tree(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates, double penalty,
                           int replicate) {
  const FitSettings settings{candidates, penalty, replicate};
  std::map<int64_t, std::vector<FitPoint>> parts;
  for (const FitPoint& point : points) parts[axes.parts ? *value(point.series->problem, *axes.parts) : 0].push_back(point);
  std::vector<Leaf> leaves;
  for (auto& [at, part] : parts) {
    std::ranges::stable_sort(part, {}, &FitPoint::x);
    std::vector<Range> within;
    if (axes.parts) within.push_back({.axis = *axes.parts, .low = at, .high = at});
    grow(make_leaf(std::move(part), std::move(within), settings), axes, axes.depth, settings, leaves);
  }
  return leaves;
}

void keep_defaults(std::vector<Leaf>& leaves, const Candidates& candidates) {
  for (Leaf& leaf : leaves) {
    std::vector<AxisSegment> merged;
    for (AxisSegment segment : leaf.segments) {
      if (segment.candidate != 0 && !replaces_defaults(leaf, segment, candidates)) segment.candidate = 0;
      if (!merged.empty() && merged.back().candidate == segment.candidate)
        merged.back().end = segment.end;
      else
        merged.push_back(segment);
    }
    leaf.segments = std::move(merged);
  }
}

int64_t border(const Leaf& leaf, size_t i, Axis first, const Candidates& candidates) {
  const AxisSegment &before = leaf.segments[i], &after = leaf.segments[i + 1];
  const int64_t last = leaf.columns[before.end - 1].x, next = leaf.columns[after.begin].x;
  // Nothing was measured between the two, so a border of the built-in rules between them is as good as any.
  const auto use = [&](const AxisSegment& segment) { return candidates.choice(segment.candidate, leaf.points.front()).variant; };
  for (const Rule& rule : candidates.defaults().rules)
    for (const Range& range : rule.when)
      if (range.axis == first && range.high && *range.high > last && *range.high < next && use(before) == rule.use &&
          use(after) != rule.use)
        return *range.high;
  const auto r0 = log_ratio(leaf, last, before.candidate, after.candidate, candidates),
             r1 = log_ratio(leaf, next, before.candidate, after.candidate, candidates);
  const bool crosses = r0 && r1 && *r0 < 0 && *r1 > 0;
  return std::clamp(crosses ? static_cast<int64_t>(crossing(last, *r0, next, *r1)) : geometric_middle(last, next), last,
                    next - 1);
}

std::vector<Rule> rules_of(const std::vector<Leaf>& leaves, std::span<const FitPoint> all, const ModelAxes& axes,
                           const Candidates& candidates) {
  std::vector<Rule> rules;
  std::vector<Range> reaches;
  for (const Axis axis : axes.splits) reaches.push_back(reach(all, axis));
  std::erase_if(reaches, [](const Range& range) { return !range.low && !range.high; });
  for (const Leaf& leaf : leaves) {
    const Range first = reach(leaf.points, axes.first);
    auto box = intersection(leaf.within, reaches);
    if (!box) continue;
    for (size_t i = 0; i < leaf.segments.size(); ++i) {
      Range along = first;
      if (i > 0) along.low = border(leaf, i - 1, axes.first, candidates) + 1;
      if (i + 1 < leaf.segments.size()) along.high = border(leaf, i, axes.first, candidates);
      auto when = *intersection(*box, {along});
      if (leaf.segments[i].candidate == 0) {
        append_defaults(when, candidates.defaults().rules, rules);
      } else {
        const KernelConfig& choice = candidates.rule(leaf.segments[i].candidate);
        rules.push_back({.when = std::move(when), .use = choice.variant, .tuning = choice.tuning, .evidence = {}});
      }
    }
  }
  return rules;
}

}  // namespace metallic::tune
