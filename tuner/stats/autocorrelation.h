// SPDX-License-Identifier: Apache-2.0
// Autocorrelation of successive values, and what it costs in independent values.
#pragma once

#include <span>

namespace metallic::tune {

/// Sums for the lag-1 autocorrelation of one series or of several pooled ones.
struct LagOneSums {
  double products = 0;           ///< of neighbouring deviations
  double squares = 0;            ///< of all deviations
  double squares_of_firsts = 0;  ///< of the first deviation of each pair of neighbours

  /// Adds a series of deviations from its centre. A NaN is a gap: it has no neighbours.
  void add(std::span<const double> deviations);
};

/// The lag-1 autocorrelation of the values' ranks, in [−1, 1]; 0 for fewer than three values or equal ones. Ranks, because one
/// value that lost its CPU for a time slice is a hundred times the others.
double rank_autocorrelation(std::span<const double> values);

/// The same without the bias of short series (Kendall; Marriott and Pope); 0 for fewer than four values.
double unbiased_rank_autocorrelation(std::span<const double> values);

/// How much more the mean of a series varies than if its values were independent: (1+ρ)/(1−ρ), with ρ limited to [0, 0.9].
/// Values that alternate count as independent, not as better than that.
double variance_inflation(double rho);

}  // namespace metallic::tune
