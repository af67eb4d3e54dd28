// SPDX-License-Identifier: Apache-2.0
// Order statistics: quantiles, the median, and how far values lie from it.
#pragma once

#include <span>
#include <vector>

namespace metallic::tune {

/// The q-quantile, 0 ≤ q ≤ 1, interpolated linearly between order statistics; NaN if there are no values. Sorts its argument.
double quantile(std::span<double> values, double q);

/// The median of the values that are not NaN; NaN if there are none.
double median(std::vector<double> values);

/// The median of one value or more, none of which is NaN. Reorders its argument.
double median_in_place(std::span<double> values);

/// The median of |value − center| over the values that are not NaN; NaN if there are none.
double median_absolute_deviation(std::span<const double> values, double center);

/// A normal distribution's standard deviation over its median absolute deviation.
inline constexpr double kSigmaPerMad = 1.4826;

struct MedianInterval {
  double median, low, high;
};

/// The median and its distribution-free 95 % interval, from order statistics; narrower than 95 % if there are fewer than six
/// values. `sorted` is not empty.
MedianInterval median_interval(std::span<const double> sorted);

}  // namespace metallic::tune
