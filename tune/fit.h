// Fitting: which candidates to use along one axis so that the weighted regret is least.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "tune/measurements.h"
#include "tune/statistics.h"

namespace metallic::tune {

/// A candidate over a stretch of the axis, in positions of the points fitted.
struct Segment {
  size_t begin;
  size_t end;  ///< past the last
  Choice choice;
};

/// A series with its resampled medians, at its place on the axis.
struct Point {
  int64_t x;
  const Series* series;
  const Replicates* replicates;
};

/// The family of a variant's name: what follows the backend, "vec" in "cpu_vec".
std::string_view family(std::string_view variant);

using Allowed = std::function<bool(const Choice&)>;

struct Segmentation {
  double cost = 0;  ///< Σ weight·loss
  std::vector<Segment> segments;
};

/// The least-cost segmentation of points sorted by x into stretches of one candidate each, where each further stretch costs
/// `penalty`. Infinite cost where no allowed candidate covers a point. Points of equal x stay together.
Segmentation fit_segments(std::span<const Point> points, const Allowed& allowed, double penalty, int replicate);

/// Where families a (up to the threshold) and b (beyond) meet.
struct ThresholdFit {
  int64_t value = 0;
  double cost = 0;
  Segmentation below;
  Segmentation above;
};

/// The fit with the threshold at `value`.
ThresholdFit fit_at(std::span<const Point> points, const Allowed& a, const Allowed& b, int64_t value, double penalty,
                    int replicate);

/// The threshold of least cost. Between two points it lies where the interpolated log ratio of the families crosses 0; past
/// the last point it is that point: beyond what was measured, b runs.
ThresholdFit fit_threshold(std::span<const Point> points, const Allowed& a, const Allowed& b, double penalty, int replicate);

/// What samples say about a threshold that has a default.
struct ThresholdVerdict {
  ThresholdFit fit;
  int64_t low = 0;  ///< 95 % bootstrap interval of the least-cost threshold
  int64_t high = 0;
  bool kept_default = false;
};

/// Keeps the default unless the gain over it exceeds its bootstrap interval.
ThresholdVerdict decide_threshold(std::span<const Point> points, const Allowed& a, const Allowed& b, int64_t default_value,
                                  double penalty);

/// log(time of the family's best candidate) at a point; infinite where none was timed.
double best_log_time(const Point& point, const Allowed& allowed, int replicate);

/// The abscissa between x0 and x1 where a log ratio that is r0 < 0 there and r1 ≥ 0 here crosses 0, interpolated over log x.
double crossing(int64_t x0, double r0, int64_t x1, double r1);

}  // namespace metallic::tune
