#include "tune/fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace metallic::tune {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<Choice> candidates(std::span<const Point> points, const Allowed& allowed) {
  std::set<Choice> found;
  for (const Point& point : points)
    for (const Arm& arm : point.series->arms)
      if (allowed(arm.choice)) found.insert(arm.choice);
  return {found.begin(), found.end()};
}

double loss(const Point& point, const Choice& choice, int replicate) {
  for (size_t arm = 0; arm < point.series->arms.size(); ++arm)
    if (point.series->arms[arm].choice == choice) return point.series->weight * point.replicates->loss(replicate, arm);
  return kInfinity;
}

// How family a compares with b where they were timed: log(time_a / time_b), the mean over the points of equal x.
struct Ratio {
  int64_t x;
  double log_ratio;
  double weight;
};

std::vector<Ratio> log_ratios(std::span<const Point> points, const Allowed& a, const Allowed& b, int replicate) {
  std::vector<Ratio> curve;
  for (const Point& point : points) {
    const double ratio = best_log_time(point, a, replicate) - best_log_time(point, b, replicate);
    if (!std::isfinite(ratio)) continue;
    if (curve.empty() || curve.back().x != point.x) curve.push_back({point.x, 0, 0});
    Ratio& at = curve.back();
    at.weight += point.series->weight;
    at.log_ratio += (ratio - at.log_ratio) * point.series->weight / at.weight;
  }
  return curve;
}

// What the threshold `to` gains over `from` in weighted loss. Between measured points the log ratio is interpolated over
// log x, so that two thresholds between the same points are told apart too.
double gain(std::span<const Ratio> curve, int64_t from, int64_t to) {
  constexpr int kSteps = 16;
  const double low = std::log(static_cast<double>(std::max<int64_t>(1, std::min(from, to)))),
               high = std::log(static_cast<double>(std::max<int64_t>(1, std::max(from, to))));
  double sum = 0;
  for (size_t i = 0; i + 1 < curve.size(); ++i) {
    const double x0 = std::log(static_cast<double>(std::max<int64_t>(1, curve[i].x))),
                 x1 = std::log(static_cast<double>(curve[i + 1].x));
    for (int step = 0; step < kSteps; ++step) {
      const double share = (step + 0.5) / kSteps, x = x0 + (x1 - x0) * share;
      if (x <= low || x > high) continue;
      const double ratio = curve[i].log_ratio * (1 - share) + curve[i + 1].log_ratio * share;
      // What b loses against a here; a is what the higher threshold runs.
      const double loss = ratio < 0 ? std::expm1(-ratio) : -std::expm1(ratio);
      sum += loss * (curve[i].weight * (1 - share) + curve[i + 1].weight * share) / kSteps;
    }
  }
  // A single measured point has no stretch around it; it stands for itself.
  if (curve.size() == 1 && curve[0].x > std::min(from, to) && curve[0].x <= std::max(from, to))
    sum = curve[0].weight * (curve[0].log_ratio < 0 ? std::expm1(-curve[0].log_ratio) : -std::expm1(curve[0].log_ratio));
  return to > from ? sum : -sum;
}

}  // namespace

std::string_view family(std::string_view variant) {
  const size_t at = variant.find('_');
  return at == std::string_view::npos ? variant : variant.substr(at + 1);
}

// cost[i] is the least cost of the first i points; a stretch ends only where x changes.
Segmentation fit_segments(std::span<const Point> points, const Allowed& allowed, double penalty, int replicate) {
  if (points.empty()) return {};
  const std::vector<Choice> choices = candidates(points, allowed);
  const size_t n = points.size();
  std::vector<double> cost(n + 1, kInfinity);
  std::vector<size_t> from(n + 1, 0), choice_of(n + 1, 0);
  // sums[c][i]: loss of candidate c over the first i points
  std::vector<std::vector<double>> sums(choices.size(), std::vector<double>(n + 1, 0));
  for (size_t c = 0; c < choices.size(); ++c)
    for (size_t i = 0; i < n; ++i) sums[c][i + 1] = sums[c][i] + loss(points[i], choices[c], replicate);
  cost[0] = -penalty;  // the first stretch is free
  for (size_t end = 1; end <= n; ++end) {
    if (end < n && points[end].x == points[end - 1].x) continue;
    for (size_t begin = 0; begin < end; ++begin) {
      if (!(cost[begin] < kInfinity)) continue;
      for (size_t c = 0; c < choices.size(); ++c) {
        if (std::isinf(sums[c][end])) {
          // A candidate that misses an early point may still serve a later stretch: infinite sums cannot be subtracted.
          double sum = 0;
          for (size_t i = begin; i < end; ++i) sum += loss(points[i], choices[c], replicate);
          if (std::isinf(sum)) continue;
          if (cost[begin] + penalty + sum < cost[end])
            cost[end] = cost[begin] + penalty + sum, from[end] = begin, choice_of[end] = c;
          continue;
        }
        const double total = cost[begin] + penalty + sums[c][end] - sums[c][begin];
        if (total < cost[end]) cost[end] = total, from[end] = begin, choice_of[end] = c;
      }
    }
  }
  Segmentation result{.cost = cost[n]};
  if (std::isinf(result.cost)) return result;
  for (size_t end = n; end > 0; end = from[end])
    result.segments.insert(result.segments.begin(), {from[end], end, choices[choice_of[end]]});
  return result;
}

ThresholdFit fit_at(std::span<const Point> points, const Allowed& a, const Allowed& b, int64_t value, double penalty,
                    int replicate) {
  const auto split = static_cast<size_t>(std::ranges::upper_bound(points, value, {}, &Point::x) - points.begin());
  ThresholdFit fit{.value = value,
                   .below = fit_segments(points.first(split), a, penalty, replicate),
                   .above = fit_segments(points.subspan(split), b, penalty, replicate)};
  for (Segment& segment : fit.above.segments) segment.begin += split, segment.end += split;
  fit.cost = fit.below.cost + fit.above.cost;
  return fit;
}

double best_log_time(const Point& point, const Allowed& allowed, int replicate) {
  double best = kInfinity;
  for (size_t arm = 0; arm < point.series->arms.size(); ++arm)
    if (allowed(point.series->arms[arm].choice)) best = std::min(best, point.replicates->log_time(replicate, arm));
  return best;
}

double crossing(int64_t x0, double r0, int64_t x1, double r1) {
  const double from = std::log(static_cast<double>(std::max<int64_t>(x0, 1))), to = std::log(static_cast<double>(x1));
  return std::exp(from + (to - from) * (0 - r0) / (r1 - r0));
}

ThresholdFit fit_threshold(std::span<const Point> points, const Allowed& a, const Allowed& b, double penalty, int replicate) {
  ThresholdFit best = fit_at(points, a, b, 0, penalty, replicate);
  for (size_t i = 0; i < points.size(); ++i) {
    if (i + 1 < points.size() && points[i + 1].x == points[i].x) continue;
    ThresholdFit fit = fit_at(points, a, b, points[i].x, penalty, replicate);
    if (fit.cost < best.cost || std::isinf(best.cost)) best = std::move(fit);
  }
  // Anywhere up to the next point the cost is the same: the crossing of the log ratios of the points on both sides decides.
  const std::vector<Ratio> curve = log_ratios(points, a, b, replicate);
  const auto above = std::ranges::upper_bound(curve, best.value, {}, &Ratio::x);
  if (above == curve.begin() || above == curve.end()) return best;
  const Ratio before = *std::prev(above);
  if (before.log_ratio < 0 && above->log_ratio > 0)
    best.value = std::clamp(static_cast<int64_t>(crossing(before.x, before.log_ratio, above->x, above->log_ratio)), before.x,
                            above->x - 1);
  return best;
}

ThresholdVerdict decide_threshold(std::span<const Point> points, const Allowed& a, const Allowed& b, int64_t default_value,
                                  double penalty) {
  ThresholdVerdict verdict{.fit = fit_threshold(points, a, b, penalty, 0)};
  if (std::isinf(verdict.fit.cost)) {  // a point without any candidate of either family: nothing to decide from
    verdict.fit = {.value = default_value};
    verdict.low = verdict.high = default_value;
    verdict.kept_default = true;
    return verdict;
  }
  const int replicates = points.empty() ? 1 : points.front().replicates->count();
  std::vector<double> values, gains;
  for (int replicate = 1; replicate < replicates; ++replicate) {
    values.push_back(static_cast<double>(fit_threshold(points, a, b, penalty, replicate).value));
    // The gain of the threshold found on all data over the default, in this replicate.
    gains.push_back(gain(log_ratios(points, a, b, replicate), default_value, verdict.fit.value));
  }
  verdict.low = values.empty() ? verdict.fit.value : static_cast<int64_t>(quantile(values, 0.025));
  verdict.high = values.empty() ? verdict.fit.value : static_cast<int64_t>(quantile(values, 0.975));
  const double least_gain = gains.empty() ? 0 : quantile(gains, 0.05);
  ThresholdFit fallback = fit_at(points, a, b, default_value, penalty, 0);
  if (std::isfinite(fallback.cost) && !(least_gain > 0)) {
    verdict.fit = std::move(fallback);
    verdict.kept_default = true;
  }
  return verdict;
}

}  // namespace metallic::tune
