// Where the middle of paired differences lies: Wilcoxon's signed-rank test, the Hodges–Lehmann estimate and its interval, both
// widened by the differences' autocorrelation.
#pragma once

#include <span>

namespace metallic::tune {

/// The correlation of successive ranks, corrected for the bias of short series; 0 for fewer than four values.
double autocorrelation(std::span<const double> values);

/// How much more the mean of a series varies than if its values were independent: (1+ρ)/(1−ρ), with ρ kept in [0, 0.9], since
/// noise that alternates may count as independent but not as less than that.
double variance_inflation(double rho);

/// P(a sum of positive ranks as large as this | the values are symmetric around 0): small where they are mostly above. Zeros are
/// left out, ties have their mean rank. Exact up to 30 values, by the normal approximation with tie and continuity correction
/// beyond; an inflation above 1 shrinks its normal score. 1 where no value differs from 0.
double signed_rank_p(std::span<const double> values, double inflation = 1);

struct Location {
  double estimate;   ///< Hodges–Lehmann: the median of the means of all pairs of values, each with itself too
  double low, high;  ///< those means that the test of level `tail` on either side leaves; infinite where there are too few values
};

/// At least one value; time and memory grow with the square of their number.
Location hodges_lehmann(std::span<const double> values, double tail, double inflation = 1);

}  // namespace metallic::tune
