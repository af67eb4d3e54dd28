// Softmax rules: a threshold on seq_k between vec and block, for one or more bands of rows.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tune/op_rules.h"

namespace metallic::tune {
namespace {

bool is_vec(const Choice& choice) { return family(choice.variant) == "vec"; }
bool is_not_vec(const Choice& choice) { return !is_vec(choice); }

int64_t between(int64_t low, int64_t high) {
  return static_cast<int64_t>(std::sqrt(static_cast<double>(low) * static_cast<double>(high)));
}

// Points of the row counts [begin, end), sorted by seq_k.
std::vector<Point> band_points(const std::map<int64_t, std::vector<Point>>& by_rows, size_t begin, size_t end) {
  std::vector<Point> points;
  auto at = std::next(by_rows.begin(), static_cast<std::ptrdiff_t>(begin));
  for (size_t i = begin; i < end; ++i, ++at) points.insert(points.end(), at->second.begin(), at->second.end());
  std::ranges::stable_sort(points, {}, &Point::x);
  return points;
}

// Borders of the bands of least cost, where each further band costs the penalty: positions in the sorted row counts.
std::vector<size_t> band_borders(const std::map<int64_t, std::vector<Point>>& by_rows, double penalty) {
  const size_t n = by_rows.size();
  std::vector<double> cost(n + 1, std::numeric_limits<double>::infinity());
  std::vector<size_t> from(n + 1, 0);
  cost[0] = 0;
  for (size_t end = 1; end <= n; ++end)
    for (size_t begin = 0; begin < end; ++begin) {
      const double band = fit_threshold(band_points(by_rows, begin, end), is_vec, is_not_vec, penalty, 0).cost;
      if (cost[begin] + penalty + band < cost[end]) cost[end] = cost[begin] + penalty + band, from[end] = begin;
    }
  std::vector<size_t> borders = {n};
  while (borders.front() > 0) borders.insert(borders.begin(), std::isinf(cost[borders.front()]) ? 0 : from[borders.front()]);
  return borders;
}

}  // namespace

Fitted softmax_rules(std::vector<Point> points, const AnalysisOptions& options) {
  std::map<int64_t, std::vector<Point>> by_rows;
  for (Point& point : points) {
    point.x = point.series->problem.softmax().seq_k;
    by_rows[point.series->problem.softmax().rows()].push_back(point);
  }
  std::vector<int64_t> row_counts;
  for (const auto& [rows, band] : by_rows) row_counts.push_back(rows);

  const double penalty = kRulePenalty * total_weight(points);
  Fitted fitted;
  std::string block;  // some variant for what was not measured
  for (const Point& point : points)
    for (const Arm& arm : point.series->arms)
      if (family(arm.choice.variant) == "block") block = arm.choice.variant;

  const std::vector<size_t> borders = band_borders(by_rows, penalty);
  for (size_t band = 0; band + 1 < borders.size(); ++band) {
    Range rows{.axis = Axis::rows};
    if (band > 0) rows.low = between(row_counts[borders[band] - 1], row_counts[borders[band]]) + 1;
    if (borders[band + 1] < row_counts.size())
      rows.high = between(row_counts[borders[band + 1] - 1], row_counts[borders[band + 1]]);
    std::vector<Range> within;
    if (rows.low || rows.high) within.push_back(rows);

    const std::vector<Point> of_band = band_points(by_rows, borders[band], borders[band + 1]);
    const ThresholdVerdict verdict = decide_threshold(of_band, is_vec, is_not_vec, options.softmax_vec_block, penalty);
    append_segments(fitted.rules, of_band, verdict.fit.below.segments, Axis::seq_k, verdict.fit.value, within);
    append_segments(fitted.rules, of_band, verdict.fit.above.segments, Axis::seq_k, std::nullopt, within);
    if (verdict.fit.above.segments.empty() && !block.empty()) fitted.rules.push_back({.when = within, .use = block});

    const Problem& problem = of_band.front().series->problem;
    Threshold threshold{.op = Op::softmax,
                        .dtype = problem.dtype,
                        .threads = problem.threads,
                        .layout = layout(problem),
                        .name = "softmax_vec_block",
                        .value = verdict.fit.value,
                        .low = verdict.low,
                        .high = verdict.high,
                        .kept_default = verdict.kept_default};
    if (rows.low && rows.high)
      threshold.where = fmt::format("rows {}..{}", *rows.low, *rows.high);
    else if (rows.low || rows.high)
      threshold.where = rows.low ? fmt::format("rows ≥ {}", *rows.low) : fmt::format("rows ≤ {}", *rows.high);
    fitted.thresholds.push_back(threshold);
  }
  return fitted;
}

}  // namespace metallic::tune
