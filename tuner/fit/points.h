// Points: what was measured at one place on the axes, as fitting and curves see it.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "tuner/stats/measurements.h"
#include "tuner/stats/statistics.h"

namespace metallic::tune {

/// A series with its resampled medians, at its place on an axis.
struct Point {
  int64_t x;
  const Series* series;
  const Replicates* replicates;
  double weight = 1;  ///< in fitting, of 1 for all points of a rule key: half by use, half evenly
  double even = 0;    ///< the part of the weight that is spread evenly, before what lies between got its share
  size_t index = 0;   ///< its number among the points fitted together
  int group = 0;      ///< points of equal group are left out together; an interpolated point has its neighbours' groups
  int other_group = 0;
};

/// The family of a variant's name: what follows the backend, "vec" in "cpu_vec".
std::string_view family(std::string_view variant);

using Allowed = std::function<bool(const Choice&)>;

/// log(time of the family's best candidate) at a point; infinite where none was timed.
double best_log_time(const Point& point, const Allowed& allowed, int replicate);

/// How much slower than the best a choice is at a point, a fraction; infinite where it was not timed.
double loss(const Point& point, const Choice& choice, int replicate);

/// What a choice that was not timed counts as losing: the next rule that matches would run, and what that loses is not known.
inline constexpr double kNotTimed = 10;

/// The geometric mean of two neighbouring values of an axis, below the higher one.
int64_t geometric_middle(int64_t low, int64_t high);

/// The abscissa between x0 and x1 where a log ratio that is r0 < 0 there and r1 ≥ 0 here crosses 0, interpolated over log x.
double crossing(int64_t x0, double r0, int64_t x1, double r1);

}  // namespace metallic::tune
