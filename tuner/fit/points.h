// SPDX-License-Identifier: Apache-2.0
// Fit points: series with their resampled medians, placed on an axis.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "tuner/stats/measurements.h"
#include "tuner/stats/replicates.h"

namespace metallic::tune {

/// One series, measured or interpolated, at its place on an axis.
struct FitPoint {
  int64_t x;
  const Series* series;
  const Replicates* replicates;
  double weight = 1;  ///< in fitting; all points of a rule key have 1 in sum, half by use and half evenly
  double even = 0;    ///< the evenly spread part of the weight, before interpolated points get their part of it
  size_t index = 0;   ///< its number among the points that are fitted together
  int group = 0;  ///< cross-validation leaves out points of one group together; an interpolated point is in those of both ends
  int other_group = 0;
};

/// The family of a variant: its name without the backend, "vec" in "cpu_vec".
std::string_view family(std::string_view variant);

using Allowed = std::function<bool(const KernelConfig&)>;

/// log(time of the best allowed candidate) at a point; infinite if none was timed.
double best_log_time(const FitPoint& point, const Allowed& allowed, int replicate);

/// How much slower than the best a config is at a point, a fraction; infinite if it was not timed.
double loss(const FitPoint& point, const KernelConfig& config, int replicate);

/// The loss that a config counts with if it was not timed. The next matching rule would run there, and its loss is unknown.
inline constexpr double kNotTimed = 10;

/// The geometric mean of two neighbouring values of an axis, in [low, high − 1].
int64_t geometric_middle(int64_t low, int64_t high);

/// The abscissa at which a log ratio crosses 0 between x0 (r0 < 0) and x1 (r1 ≥ 0), interpolated linearly over log x.
double crossing(int64_t x0, double r0, int64_t x1, double r1);

}  // namespace metallic::tune
