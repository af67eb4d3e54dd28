// SPDX-License-Identifier: Apache-2.0
// Crossover: where a noisy curve changes from negative to positive, with a confidence interval for the place.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace metallic::tune {

/// An estimate of the curve at one place.
struct CurveEstimate {
  double x;        ///< the place: log of the axis
  double mean;     ///< trimmed by a fifth on each side
  double error;    ///< standard error of the mean; infinite if no place has two blocks
  double freedom;  ///< degrees of freedom of the error, for Student's t
};

/// Half the width of the interval around the mean with this confidence, in (0, 1).
double margin(const CurveEstimate& estimate, double confidence);

/// Estimates the curve at each x from values in the order of their blocks, one or more at each x.
///
/// The error is Yuen's, from winsorized deviations. It is shrunk towards that of the whole curve with the weight of ten blocks,
/// so a place with two blocks does not stand on its own. It is widened by the autocorrelation of blocks, estimated over the
/// curve.
std::vector<CurveEstimate> estimate_curve(std::span<const double> x, std::span<const std::vector<double>> values);

struct Crossover {
  double x;
  std::optional<double> low;  ///< 95 % interval; none if the errors are not known
  std::optional<double> high;
};

/// The only change of a curve from clearly negative (three standard errors) to clearly positive; nothing if there is none or a
/// change back. The estimates have rising x.
///
/// Between the last clearly negative place and the first clearly positive one, the crossover is the zero that leaves the least
/// area of wrong sign. The curve is a monotone cubic over x: a line would misplace the crossover of a bent curve by up to 3 %
/// with points an octave apart. If it rises more than three times as steeply as its neighbourhood, it jumps, and the samples do
/// not say where between the two places. The interval holds the middle 95 % of `draws` curves, drawn from the distributions of
/// the estimates and with different bends.
std::optional<Crossover> find_crossover(std::span<const CurveEstimate> estimates, int draws, uint64_t seed);

}  // namespace metallic::tune
