#include "tune/bands.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace metallic::tune {
namespace {

int64_t between(int64_t low, int64_t high) {
  return static_cast<int64_t>(std::sqrt(static_cast<double>(low) * static_cast<double>(high)));
}

using ByValue = std::map<int64_t, std::vector<Point>>;

// Points of the values in positions [begin, end), sorted by x.
std::vector<Point> points_of(const ByValue& by_value, size_t begin, size_t end) {
  std::vector<Point> points;
  auto at = std::next(by_value.begin(), static_cast<std::ptrdiff_t>(begin));
  for (size_t i = begin; i < end; ++i, ++at) points.insert(points.end(), at->second.begin(), at->second.end());
  std::ranges::stable_sort(points, {}, &Point::x);
  return points;
}

// Borders of the bands of least cost, as positions in the sorted values.
std::vector<size_t> borders_of(const ByValue& by_value, double penalty, const BandCost& cost_of) {
  const size_t n = by_value.size();
  std::vector<double> cost(n + 1, std::numeric_limits<double>::infinity());
  std::vector<size_t> from(n + 1, 0);
  cost[0] = 0;
  for (size_t end = 1; end <= n; ++end)
    for (size_t begin = 0; begin < end; ++begin) {
      const double band = cost_of(points_of(by_value, begin, end));
      if (cost[begin] + penalty + band < cost[end]) cost[end] = cost[begin] + penalty + band, from[end] = begin;
    }
  std::vector<size_t> borders = {n};
  while (borders.front() > 0) borders.insert(borders.begin(), std::isinf(cost[borders.front()]) ? 0 : from[borders.front()]);
  return borders;
}

}  // namespace

std::vector<Band> split_bands(const std::vector<Point>& points, Axis axis, double penalty, const BandCost& cost) {
  ByValue by_value;
  for (const Point& point : points) by_value[*value(point.series->problem, axis)].push_back(point);
  std::vector<int64_t> values;
  for (const auto& [at, of_value] : by_value) values.push_back(at);
  const std::vector<size_t> borders = borders_of(by_value, penalty, cost);
  std::vector<Band> bands;
  for (size_t i = 0; i + 1 < borders.size(); ++i) {
    Range range{.axis = axis};
    if (i > 0) range.low = between(values[borders[i] - 1], values[borders[i]]) + 1;
    if (borders[i + 1] < values.size()) range.high = between(values[borders[i + 1] - 1], values[borders[i + 1]]);
    Band band{.points = points_of(by_value, borders[i], borders[i + 1]), .within = {}};
    if (range.low || range.high) band.within.push_back(range);
    bands.push_back(std::move(band));
  }
  return bands;
}

}  // namespace metallic::tune
