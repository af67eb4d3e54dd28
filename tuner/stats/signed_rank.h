// SPDX-License-Identifier: Apache-2.0
// The location of paired differences: the Wilcoxon signed-rank test, and the Hodges–Lehmann estimate with its interval. Both
// allow for autocorrelated differences.
#pragma once

#include <span>

namespace metallic::tune {

/// The one-sided p-value: the probability of a sum of positive ranks at least as large if the values are symmetric around 0.
/// Zeros are left out, ties have their mean rank. Exact up to 30 values; above that, the normal approximation with tie and
/// continuity correction. `inflation`, the factor on the variance (see `variance_inflation`), shrinks the normal score if it is
/// above 1. Returns 1 if no value differs from 0.
double signed_rank_p(std::span<const double> values, double inflation = 1);

struct Location {
  double estimate;   ///< Hodges–Lehmann: the median of the means of all pairs, each value with itself too
  double low, high;  ///< the interval that inverts the test at level `tail` on each side; infinite if there are too few values
};

/// Needs one value or more. Time and memory grow with the square of their number.
Location hodges_lehmann(std::span<const double> values, double tail, double inflation = 1);

}  // namespace metallic::tune
