// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/thresholds.h"

#include <algorithm>
#include <cmath>

#include "tuner/operation/operation.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr int kReplicates = 200;

// The cost of a threshold at each value that differs: below all points, between each two, past the last.
struct ThresholdCosts {
  std::vector<int64_t> value;
  std::vector<double> cost;
  size_t best() const { return static_cast<size_t>(std::ranges::min_element(cost) - cost.begin()); }
};
ThresholdCosts costs(const FamilyLosses& losses, int replicate) {
  const auto& points = losses.points();
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) sum += losses.lost(replicate, i, true);
  ThresholdCosts found{.value = {0}, .cost = {sum}};
  for (size_t i = 0; i < points.size(); ++i) {
    sum += losses.lost(replicate, i, false) - losses.lost(replicate, i, true);
    const bool last = i + 1 == points.size();
    if (!last && points[i + 1].x == points[i].x) continue;
    found.value.push_back(last ? points[i].x : geometric_middle(points[i].x, points[i + 1].x));
    found.cost.push_back(sum);
  }
  return found;
}

}  // namespace

FamilyLosses::FamilyLosses(std::vector<FitPoint> points, const Allowed& a, const Allowed& b) : points_(std::move(points)) {
  std::ranges::stable_sort(points_, {}, &FitPoint::x);
  replicates_ = std::min(points_.front().replicates->count(), kReplicates);
  for (const FitPoint& point : points_) weight_ += point.weight;
  for (int replicate = 0; replicate < replicates_; ++replicate)
    for (const FitPoint& point : points_)
      for (const Allowed* family : {&a, &b}) {
        const double lost = std::expm1(best_log_time(point, *family, replicate) - point.replicates->best(replicate));
        lost_.push_back(std::isnan(lost) ? 0 : point.weight * std::min(lost, kNotTimed));
      }
}

ThresholdEstimate least_cost(const FamilyLosses& losses) {
  const ThresholdCosts all = costs(losses, 0);
  const size_t best = all.best();
  const double most = all.cost[best] + kEquivalenceBand * losses.weight();
  size_t low = best, high = best;
  while (low > 0 && all.cost[low - 1] <= most) --low;
  while (high + 1 < all.cost.size() && all.cost[high + 1] <= most) ++high;
  std::vector<double> values;
  for (int replicate = 1; replicate < losses.replicates(); ++replicate) {
    const ThresholdCosts resampled = costs(losses, replicate);
    values.push_back(static_cast<double>(resampled.value[resampled.best()]));
  }
  ThresholdEstimate found{all.value[best], all.value[best], all.value[best], all.value[low], all.value[high]};
  if (!values.empty())
    found.low = static_cast<int64_t>(quantile(values, 0.025)), found.high = static_cast<int64_t>(quantile(values, 0.975));
  return found;
}

std::optional<int64_t> only_border(const Leaf& leaf, const Candidates& candidates, const Allowed& a, int64_t built_in) {
  std::optional<int64_t> found;
  bool was_a = true;
  for (size_t i = 0; i < leaf.segments.size(); ++i) {
    const AxisSegment& segment = leaf.segments[i];
    bool first = true;
    for (const FitPoint& point : leaf.points) {
      if (point.x < leaf.columns[segment.begin].x || point.x > leaf.columns[segment.end - 1].x) continue;
      const bool is_a = a(candidates.choice(segment.candidate, point));
      if (is_a && !was_a) return std::nullopt;
      if (was_a && !is_a) found = !first ? built_in : i > 0 ? border(leaf, i - 1, Axis::seq_k, candidates) : 0;
      was_a = is_a;
      first = false;
    }
  }
  return found ? found : leaf.points.back().x;
}

Threshold ThresholdMaker::make(std::string_view name, std::string where, const ThresholdEstimate& found,
                               std::optional<int64_t> ruled, bool stays, int64_t default_value) const {
  Threshold t{.op = problem_.op(),
              .dtype = problem_.dtype,
              .threads = problem_.threads,
              .layout = layout(problem_),
              .name = std::string(name),
              .where = std::move(where),
              .value = found.value,
              .low = found.low,
              .high = found.high,
              .band_low = found.band_low,
              .band_high = found.band_high};
  const auto earlier = std::ranges::find_if(options_.earlier.thresholds, [&](const Threshold& other) {
    return other.op == t.op && other.dtype == t.dtype && other.threads == t.threads && other.layout == t.layout &&
           other.name == t.name && other.where == t.where;
  });
  const auto as_good = [&](int64_t value) { return stays || (value >= t.band_low && value <= t.band_high); };
  if (ruled && !stays)
    t.value = *ruled;
  else if (!stays && earlier != options_.earlier.thresholds.end() && as_good(earlier->value))
    t.value = earlier->value;
  else if (as_good(default_value))
    t.value = default_value;
  t.kept_default = t.value == default_value;
  return t;
}

void add_regret(Threshold& threshold, const FamilyLosses& losses) {
  double sum = 0;
  for (size_t i = 0; i < losses.points().size(); ++i) sum += losses.lost(0, i, losses.points()[i].x > threshold.value);
  threshold.regret = losses.weight() > 0 ? sum / losses.weight() : 0;
}

std::vector<Threshold> thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                  const Candidates& candidates, const AnalysisOptions& options) {
  if (points.empty()) return {};
  const auto find = tuner_operation(points.front().series->problem.op()).thresholds;
  return find ? find(points, leaves, candidates, options) : std::vector<Threshold>();
}

}  // namespace metallic::tune
