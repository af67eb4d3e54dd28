#include "tuner/fit/tree.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <map>
#include <optional>
#include <set>

namespace metallic::tune {
namespace {

constexpr double kMuch = 0.05;   // what noise seldom promises: taken with 95 % certainty, for the segment alone
constexpr double kSome = 0.04;   // what it promises here and there
constexpr double kBand = 0.005;  // what is as good as the built-in rules

// Sorted points as columns.
std::vector<Column> columns_of(std::span<const Point> points, const Candidates& candidates, int replicate) {
  std::vector<Column> columns;
  for (const Point& point : points) {
    if (columns.empty() || columns.back().x != point.x) columns.push_back({point.x, std::vector<double>(candidates.count(), 0)});
    for (size_t c = 0; c < candidates.count(); ++c) columns.back().loss[c] += point.weight * candidates.loss(c, point, replicate);
  }
  return columns;
}

// How leaves are made: from whose losses, at what price a rule.
struct Fit {
  const Candidates& candidates;
  double penalty;
  int replicate;
};

Leaf make_leaf(std::vector<Point> points, std::vector<Range> within, const Fit& fit) {
  Leaf leaf{.within = std::move(within), .points = std::move(points), .columns = {}, .segments = {}};
  leaf.columns = columns_of(leaf.points, fit.candidates, fit.replicate);
  std::vector<double> penalties(fit.candidates.count(), fit.penalty);
  // Else a border of their own would have to gain a rule's price over the built-in one, however wrong that is.
  penalties[0] *= static_cast<double>(std::max<size_t>(fit.candidates.defaults().rules.size(), 1));
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

// The two parts of a leaf at a border on an axis.
std::pair<Leaf, Leaf> split_at(const Leaf& leaf, Axis axis, int64_t last, const Fit& fit) {
  std::vector<Point> low, high;
  for (const Point& point : leaf.points) (*value(point.series->problem, axis) <= last ? low : high).push_back(point);
  auto within_low = leaf.within, within_high = leaf.within;
  narrow(within_low, {.axis = axis, .low = {}, .high = last});
  narrow(within_high, {.axis = axis, .low = last + 1, .high = {}});
  return {make_leaf(std::move(low), std::move(within_low), fit), make_leaf(std::move(high), std::move(within_high), fit)};
}

void grow(Leaf leaf, const Axes& axes, int depth, const Fit& fit, std::vector<Leaf>& leaves) {
  std::optional<std::pair<Leaf, Leaf>> best;
  double least = leaf.cost - 1e-12;
  for (const Axis axis : axes.splits) {
    if (depth == 0) break;
    std::set<int64_t> values;
    for (const Point& point : leaf.points) values.insert(*value(point.series->problem, axis));
    for (auto at = values.begin(); at != values.end() && std::next(at) != values.end(); ++at) {
      auto parts = split_at(leaf, axis, geometric_middle(*at, *std::next(at)), fit);
      if (const double cost = parts.first.cost + parts.second.cost; cost < least) least = cost, best = std::move(parts);
    }
  }
  if (!best) {
    leaves.push_back(std::move(leaf));
    return;
  }
  grow(std::move(best->first), axes, depth - 1, fit, leaves);
  grow(std::move(best->second), axes, depth - 1, fit, leaves);
}

// The points of a segment where its candidate is not what the built-in rules run.
std::vector<Point> where_different(const Leaf& leaf, const Segment& segment, const Candidates& candidates) {
  std::vector<Point> found;
  for (const Point& point : leaf.points)
    if (point.x >= leaf.columns[segment.begin].x && point.x <= leaf.columns[segment.end - 1].x &&
        candidates.choice(0, point) != candidates.choice(segment.candidate, point))
      found.push_back(point);
  return found;
}

// What a candidate gains over the built-in rules: the mean over points, and what lies 1 standard error below and above.
struct Gain {
  double found, low, high;
  bool above(double quantile, double least) const { return found > std::max(quantile * (high - low) / 2, least); }
};

// The quantile that the best of so many chances passes once in twenty times.
double one_of(double chances) { return boost::math::quantile(boost::math::complement(boost::math::normal(), 0.05 / chances)); }

Gain gain(std::span<const Point> points, size_t candidate, const Candidates& candidates, double Point::*weight) {
  double weights = 0;
  for (const Point& point : points) weights += point.*weight;
  const auto of_replicate = [&](int replicate) {
    double sum = 0;
    for (const Point& point : points)
      sum += point.*weight * (candidates.loss(0, point, replicate) - candidates.loss(candidate, point, replicate));
    return weights > 0 ? sum / weights : 0;
  };
  const double found = of_replicate(0);
  std::vector<double> gains;
  const int replicates = points.empty() ? 0 : points.front().replicates->count();
  for (int replicate = 1; replicate < replicates; ++replicate) gains.push_back(of_replicate(replicate));
  // By what the middle 68 % span: a resample that drew an outlier as its median is no measure of the others.
  return gains.empty() ? Gain{found, found, found} : Gain{found, tune::quantile(gains, 0.16), tune::quantile(gains, 0.84)};
}

// Mean log(time of one candidate / time of another) at a column; nothing where no point has both.
std::optional<double> log_ratio(const Leaf& leaf, int64_t x, size_t one, size_t other, const Candidates& candidates) {
  double sum = 0, weight = 0;
  for (const Point& point : leaf.points) {
    if (point.x != x) continue;
    const double a = candidates.loss(one, point), b = candidates.loss(other, point);
    if (std::max(a, b) >= kNotTimed) continue;
    sum += point.weight * (std::log1p(a) - std::log1p(b));
    weight += point.weight;
  }
  return weight > 0 ? std::optional(sum / weight) : std::nullopt;
}

// A range that both hold in; nothing where there is none.
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

// The built-in rules' part in a box. What an earlier one of the same variant covers is left out; another variant's must stay:
// where the earlier one rejects, it comes before the box's later rules.
void append_defaults(const std::vector<Range>& box, const std::vector<Rule>& defaults, std::vector<Rule>& rules) {
  const size_t begin = rules.size();
  for (const Rule& rule : defaults) {
    auto part = intersection(box, rule.when);
    const auto covered = [&](const Rule& earlier) { return earlier.use == rule.use && is_within(*part, earlier.when); };
    if (part && std::none_of(rules.begin() + static_cast<std::ptrdiff_t>(begin), rules.end(), covered))
      rules.push_back({.when = std::move(*part), .use = rule.use, .tuning = rule.tuning, .evidence = {}});
  }
}

// How far measured values reach on an axis, doubled both ways.
Range reach(std::span<const Point> points, Axis axis) {
  int64_t least = std::numeric_limits<int64_t>::max(), largest = 0;
  for (const Point& point : points) {
    const int64_t at = *value(point.series->problem, axis);
    least = std::min(least, at), largest = std::max(largest, at);
  }
  Range range{.axis = axis, .low = {}, .high = {}};
  if (least > 1) range.low = least / 2;
  range.high = 2 * largest;
  return range;
}

}  // namespace

const Axes& axes(Op op) {
  static const Axes softmax{Axis::seq_k, {}, {Axis::rows, Axis::elements}, 3},
      matmul{Axis::n, Axis::side, {Axis::big, Axis::k}, 4}, sdpa{Axis::seq_k, {}, {Axis::seq_q, Axis::heads}, 2};
  return op == Op::softmax ? softmax : op == Op::matmul ? matmul : sdpa;
}

Candidates::Candidates(std::vector<Point>& points, const Defaults& defaults) : defaults_(defaults), choices_(1) {
  std::set<Choice> timed;
  for (const Point& point : points)
    for (const Arm& arm : point.series->arms) timed.insert(arm.choice);
  if (defaults.preference)
    for (const Choice& choice : timed)
      if (!choice.tuning.empty() && choices_.back().variant != choice.variant) choices_.push_back({choice.variant, ""});
  varying_ = choices_.size();
  choices_.insert(choices_.end(), timed.begin(), timed.end());
  for (size_t i = 0; i < points.size(); ++i) {
    Point& point = points[i];
    const Problem& problem = point.series->problem;
    point.index = i;
    varying_choices_.push_back(defaults.choice ? defaults.choice(problem) : Choice{});
    for (size_t c = 1; c < varying_; ++c)
      varying_choices_.push_back({choices_[c].variant, defaults.preference(problem, choices_[c].variant)});
    for (size_t c = 0; c < count(); ++c) {
      const auto arm = std::ranges::find(point.series->arms, choice(c, point), &metallic::tune::Arm::choice);
      arms_.push_back(arm == point.series->arms.end() ? -1 : static_cast<int>(arm - point.series->arms.begin()));
    }
  }
}

double Candidates::loss(size_t candidate, const Point& point, int replicate) const {
  const int arm = arms_[point.index * count() + candidate];
  return arm < 0 ? kNotTimed : std::min(point.replicates->loss(replicate, static_cast<size_t>(arm)), kNotTimed);
}

double bounded_loss(const Point& point, const Choice& choice, int replicate) {
  return std::min(loss(point, choice, replicate), kNotTimed);
}

std::vector<Leaf> fit_tree(std::span<const Point> points, const Axes& axes, const Candidates& candidates, double penalty,
                           int replicate) {
  const Fit fit{candidates, penalty, replicate};
  std::map<int64_t, std::vector<Point>> parts;
  for (const Point& point : points) parts[axes.parts ? *value(point.series->problem, *axes.parts) : 0].push_back(point);
  std::vector<Leaf> leaves;
  for (auto& [at, part] : parts) {
    std::ranges::stable_sort(part, {}, &Point::x);
    std::vector<Range> within;
    if (axes.parts) within.push_back({.axis = *axes.parts, .low = at, .high = at});
    grow(make_leaf(std::move(part), std::move(within), fit), axes, axes.depth, fit, leaves);
  }
  return leaves;
}

void keep_defaults(std::vector<Leaf>& leaves, const Candidates& candidates) {
  const auto rivals = static_cast<double>(std::max<size_t>(candidates.count(), 3) - 2);
  for (Leaf& leaf : leaves) {
    for (Segment& segment : leaf.segments) {
      if (segment.candidate == 0) continue;
      const auto points = where_different(leaf, segment, candidates);
      // Use makes a few shapes weigh as much as all the others, and those are not surer: where all count the same, more is sure.
      const Gain by_weight = gain(points, segment.candidate, candidates, &Point::weight),
                 evenly = gain(points, segment.candidate, candidates, &Point::even);
      const auto is_above = [&](double quantile, double least) {
        return by_weight.above(quantile, least) || (by_weight.found > 0 && evenly.above(quantile, least));
      };
      // Twice the rivals: by either way to weigh. Whatever gains might have been found anywhere; more by rivals over as many
      // places as segments of this length would take; at half the level, for which two tunings of flat ground agree 99 times in
      // 100; much is judged by the lower half alone: a gain that may be even larger is no less sure.
      const auto columns = static_cast<double>(leaf.columns.size()), length = static_cast<double>(segment.end - segment.begin);
      const bool surely = is_above(one_of(2 * rivals * columns), kBand) || is_above(one_of(4 * rivals * columns / length), kSome);
      const bool much = by_weight.found > std::max(1.645 * (by_weight.found - by_weight.low), kMuch);
      if (!surely && !much) segment.candidate = 0;
    }
    std::vector<Segment> merged;
    for (const Segment& segment : leaf.segments)
      if (!merged.empty() && merged.back().candidate == segment.candidate)
        merged.back().end = segment.end;
      else
        merged.push_back(segment);
    leaf.segments = std::move(merged);
  }
}

int64_t border(const Leaf& leaf, size_t i, Axis first, const Candidates& candidates) {
  const Segment &before = leaf.segments[i], &after = leaf.segments[i + 1];
  const int64_t last = leaf.columns[before.end - 1].x, next = leaf.columns[after.begin].x;
  // Where nothing was measured between the two, the built-in rules' own border between them is as good as any.
  const auto use = [&](const Segment& segment) { return candidates.choice(segment.candidate, leaf.points.front()).variant; };
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

std::vector<Rule> rules_of(const std::vector<Leaf>& leaves, std::span<const Point> all, const Axes& axes,
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
        const Choice& choice = candidates.rule(leaf.segments[i].candidate);
        rules.push_back({.when = std::move(when), .use = choice.variant, .tuning = choice.tuning, .evidence = {}});
      }
    }
  }
  return rules;
}

}  // namespace metallic::tune
