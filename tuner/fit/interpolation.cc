// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/interpolation.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include "tuner/fit/curves.h"
#include "tuner/operation/operation.h"

namespace metallic::tune {

void Interpolation::fill(std::vector<FitPoint>& points) {
  std::map<std::pair<std::string, std::string>, std::vector<size_t>> lines;
  for (size_t i = 0; i < points.size(); ++i) lines[{held_fixed(points[i].series->problem), points[i].series->cache}].push_back(i);
  for (auto& [key, line] : lines) {
    std::ranges::sort(line, {}, [&](size_t i) { return points[i].x; });
    for (size_t i = 0; i + 1 < line.size(); ++i) interpolate(points, line[i], line[i + 1]);
  }
}

void Interpolation::interpolate(std::vector<FitPoint>& points, size_t low, size_t high) {
  const FitPoint a = points[low], b = points[high];
  const double ratio = static_cast<double>(b.x) / static_cast<double>(std::max<int64_t>(a.x, 1));
  if (a.x < 1 || ratio <= 1.3) return;
  Series common{.problem = a.series->problem, .label = a.series->label, .cache = a.series->cache, .weight = 0, .candidates = {}};
  std::vector<std::pair<size_t, size_t>> shared;
  for (size_t i = 0; i < a.series->candidates.size(); ++i)
    for (size_t j = 0; j < b.series->candidates.size(); ++j)
      if (a.series->candidates[i].config == b.series->candidates[j].config) {
        shared.emplace_back(i, j);
        common.candidates.push_back({a.series->candidates[i].config, {}});
      }
  if (shared.empty()) return;
  const int steps = std::min(1 + static_cast<int>(3 * std::log2(ratio) + 0.5), 12);
  std::vector<FitPoint> made;
  int64_t before = a.x;
  for (int step = 1; step < steps; ++step) {
    const double share = static_cast<double>(step) / steps;
    const auto x = static_cast<int64_t>(std::lround(static_cast<double>(a.x) * std::pow(ratio, share)));
    if (x <= before || x >= b.x) continue;
    const auto problem = tuner_operation(a.series->problem.op()).moved(a.series->problem, x);
    if (!problem) return;
    before = x;
    Series& series = series_.emplace_back(common);
    series.problem = *problem;
    made.push_back({.x = x,
                    .series = &series,
                    .replicates = &replicates_.emplace_back(
                        Replicates::interpolate(*a.replicates, *b.replicates, shared,
                                                std::log(static_cast<double>(x) / static_cast<double>(a.x)) / std::log(ratio))),
                    .weight = 0,
                    .index = 0,
                    .group = a.group,
                    .other_group = b.group});
  }
  if (made.empty()) return;
  // Of the half of each end's weight that faces the other end, the new points get all but one part in (points + 1).
  const double share = static_cast<double>(made.size()) / static_cast<double>(made.size() + 1);
  const double given_a = a.even / 2 * share, given_b = b.even / 2 * share;
  points[low].weight -= given_a;
  points[high].weight -= given_b;
  for (FitPoint& point : made) point.weight = (given_a + given_b) / static_cast<double>(made.size());
  points.insert(points.end(), made.begin(), made.end());
}

}  // namespace metallic::tune
