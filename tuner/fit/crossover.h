// Crossover: where a curve that is known by noisy points changes sign for good, with an interval for the place.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace metallic::tune {

/// What the blocks at one place of the curve say about its height there.
struct Height {
  double x;        ///< the place: log of the axis
  double mean;     ///< trimmed by a fifth on each side
  double error;    ///< standard error of the mean; infinite where no place has two blocks
  double freedom;  ///< degrees of freedom of the error, for Student's t
};

/// Half the width of the interval around the mean that covers with this confidence, in (0, 1).
double margin(const Height& height, double confidence);

/// The heights from values in the order of their blocks, at least one at each x. An error is Yuen's, from winsorized
/// deviations, drawn towards that of the whole curve with the weight of ten blocks, so that a place with two blocks is not
/// believed on its own; and it is widened by the blocks' autocorrelation, which is estimated over the whole curve.
std::vector<Height> heights(std::span<const double> x, std::span<const std::vector<double>> values);

struct Crossover {
  double x;
  std::optional<double> low;  ///< 95 % interval; none where the errors are not known
  std::optional<double> high;
};

/// The only change of a curve from clearly negative (three standard errors) to clearly positive; nothing where there is
/// none or another change. Heights have rising x. Between the last clearly negative place and the first clearly positive
/// one, the crossover is the zero that leaves least area on the wrong side. The curve is a monotone cubic over x: a line
/// would put the crossover of a curve that bends up to 3 % off at points an octave apart. Where it rises more steeply than
/// three times its neighbourhood, it jumps, and the samples do not say where between the two places.
/// The interval holds the middle 95 % of `draws` curves from the heights' distributions, which differ in how much they bend
/// too.
std::optional<Crossover> find_crossover(std::span<const Height> heights, int draws, uint64_t seed);

}  // namespace metallic::tune
