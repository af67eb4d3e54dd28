// Matmul rules: the small-N threshold on n between GEMV and GEMM, its tuning per n, and where GEMM packs; for each side
// of the weights.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "tune/op_rules.h"

namespace metallic::tune {
namespace {

bool is_gemv(const Choice& choice) { return family(choice.variant) == "gemv"; }
bool is_not_gemv(const Choice& choice) { return !is_gemv(choice); }

struct PackFit {
  int64_t m_min = 0;
  int64_t n_min = 0;
  double cost = std::numeric_limits<double>::infinity();
  Choice inside;   // big ≥ m_min and n ≥ n_min
  Choice outside;  // all else
};

// The best single candidate of a group of points, and its cost.
std::pair<double, Choice> best_of(const std::vector<Point>& points, int replicate) {
  if (points.empty()) return {0, {}};
  const Segmentation one = fit_segments(points, is_not_gemv, std::numeric_limits<double>::max() / 4, replicate);
  return {one.cost, one.segments.empty() ? Choice{} : one.segments.front().choice};
}

PackFit pack_fit_at(std::span<const Point> points, int64_t m_min, int64_t n_min, int replicate) {
  std::vector<Point> inside, outside;
  for (const Point& point : points) {
    const auto& shape = point.series->problem.matmul();
    (shape.big() >= m_min && shape.small() >= n_min ? inside : outside).push_back(point);
  }
  const auto [inside_cost, inside_choice] = best_of(inside, replicate);
  const auto [outside_cost, outside_choice] = best_of(outside, replicate);
  return {m_min, n_min, inside_cost + outside_cost, inside_choice, outside_choice};
}

// Where a lower threshold may lie: below everything, and at the geometric mean of each two neighbours.
std::set<int64_t> borders(const std::set<int64_t>& values) {
  std::set<int64_t> found = {*values.begin()};
  for (auto at = std::next(values.begin()); at != values.end(); ++at)
    found.insert(static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(*std::prev(at)) * static_cast<double>(*at)))));
  return found;
}

// The thresholds of least cost; of equal ones the default, so that flat ground moves nothing.
PackFit fit_pack(std::span<const Point> points, const AnalysisOptions& options, int replicate) {
  std::set<int64_t> bigs, smalls;
  for (const Point& point : points) {
    bigs.insert(point.series->problem.matmul().big());
    smalls.insert(point.series->problem.matmul().small());
  }
  PackFit best = pack_fit_at(points, options.simd_m_min, options.simd_n_min, replicate);
  bigs = borders(bigs);
  smalls = borders(smalls);
  bigs.insert(options.simd_m_min);
  smalls.insert(options.simd_n_min);
  const double margin = kRulePenalty * total_weight(points);
  for (const int64_t m : bigs)
    for (const int64_t n : smalls) {
      const PackFit fit = pack_fit_at(points, m, n, replicate);
      if (fit.cost + margin < best.cost) best = fit;
    }
  return best;
}

Threshold threshold_of(const Problem& problem, std::string_view name, std::string_view where, int64_t value) {
  return {.op = Op::matmul,
          .dtype = problem.dtype,
          .threads = problem.threads,
          .layout = layout(problem),
          .name = std::string(name),
          .where = std::string(where),
          .value = value,
          .low = value,
          .high = value};
}

// Rules and thresholds for the GEMM family: packed inside a region of big and n, unpacked outside.
void append_pack_rules(const std::vector<Point>& points, std::string_view where, const std::vector<Range>& side,
                       const AnalysisOptions& options, Fitted& fitted) {
  if (points.empty()) return;
  const PackFit found = fit_pack(points, options, 0), fallback = pack_fit_at(points, options.simd_m_min, options.simd_n_min, 0);
  std::vector<double> m_values, n_values, gains;
  const int replicates = std::min(points.front().replicates->count(), 100);
  for (int replicate = 1; replicate < replicates; ++replicate) {
    const PackFit resampled = fit_pack(points, options, replicate);
    m_values.push_back(static_cast<double>(resampled.m_min));
    n_values.push_back(static_cast<double>(resampled.n_min));
    gains.push_back(pack_fit_at(points, options.simd_m_min, options.simd_n_min, replicate).cost -
                    pack_fit_at(points, found.m_min, found.n_min, replicate).cost);
  }
  // The default stays unless the gain over it exceeds its bootstrap interval.
  const bool keep = std::isfinite(fallback.cost) && !(gains.empty() ? found.cost < fallback.cost : quantile(gains, 0.05) > 0);
  const PackFit& fit = keep ? fallback : found;
  const auto add = [&](std::vector<Range> when, const Choice& choice) {
    if (!choice.variant.empty())
      fitted.rules.push_back({.when = std::move(when), .use = choice.variant, .tuning = choice.tuning});
  };
  if (fit.inside != fit.outside && !fit.inside.variant.empty()) {
    std::vector<Range> region = side;
    region.push_back({.axis = Axis::big, .low = fit.m_min});
    region.push_back({.axis = Axis::n, .low = fit.n_min});
    add(region, fit.inside);
  }
  add(side, fit.outside.variant.empty() ? fit.inside : fit.outside);

  const Problem& problem = points.front().series->problem;
  Threshold m = threshold_of(problem, "simd_m_min", where, fit.m_min), n = threshold_of(problem, "simd_n_min", where, fit.n_min);
  m.kept_default = keep || fit.m_min == options.simd_m_min;
  n.kept_default = keep || fit.n_min == options.simd_n_min;
  if (!m_values.empty()) {
    m.low = static_cast<int64_t>(quantile(m_values, 0.025)), m.high = static_cast<int64_t>(quantile(m_values, 0.975));
    n.low = static_cast<int64_t>(quantile(n_values, 0.025)), n.high = static_cast<int64_t>(quantile(n_values, 0.975));
  }
  fitted.thresholds.push_back(m);
  fitted.thresholds.push_back(n);
}

void fit_side(std::vector<Point> points, int64_t side_value, const AnalysisOptions& options, Fitted& fitted) {
  std::ranges::stable_sort(points, {}, &Point::x);
  const std::string_view where = side_value == 0 ? "weights in A" : "weights in B";
  const std::vector<Range> side = {{.axis = Axis::side, .low = side_value, .high = side_value}};
  const double penalty = kRulePenalty * total_weight(points);

  // Where n is small, gemv stands against everything else; larger n, where gemv was not timed, do not move the threshold.
  const ThresholdVerdict verdict = decide_threshold(points, is_gemv, is_not_gemv, options.smalln_max_n, penalty);
  append_segments(fitted.rules, points, verdict.fit.below.segments, Axis::n, verdict.fit.value, side);
  Threshold small_n = threshold_of(points.front().series->problem, "smalln_max_n", where, verdict.fit.value);
  small_n.low = verdict.low;
  small_n.high = verdict.high;
  small_n.kept_default = verdict.kept_default;
  fitted.thresholds.push_back(small_n);

  std::vector<Point> beyond;
  std::ranges::copy_if(points, std::back_inserter(beyond), [&](const Point& p) { return p.x > verdict.fit.value; });
  append_pack_rules(beyond, where, side, options, fitted);
}

}  // namespace

Fitted matmul_rules(std::vector<Point> points, const AnalysisOptions& options) {
  Fitted fitted;
  for (const int64_t side : {0, 1}) {
    std::vector<Point> of_side;
    for (Point point : points) {
      point.x = point.series->problem.matmul().small();
      if (value(point.series->problem, Axis::side) == side) of_side.push_back(point);
    }
    if (!of_side.empty()) fit_side(std::move(of_side), side, options, fitted);
  }
  return fitted;
}

}  // namespace metallic::tune
