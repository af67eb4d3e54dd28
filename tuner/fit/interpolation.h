// SPDX-License-Identifier: Apache-2.0
// Interpolation: fit points between two measured shapes of one line. Rules apply there too: of two borders that lose the same on
// the measured shapes, the interpolated losses tell the better one.
#pragma once

#include <deque>
#include <vector>

#include "tuner/fit/points.h"

namespace metallic::tune {

/// Owns the series and replicates of interpolated points, which must not outlive it.
class Interpolation {
 public:
  /// Adds points between neighbours on a line that are more than a factor of 1.3 apart, up to three an octave. A line holds
  /// shapes that differ only on the axis, in one cache state. The even part of the neighbours' weights is spread over the new
  /// points: sums over points become integrals over the line. Measured points keep their order and come first.
  void fill(std::vector<FitPoint>& points);

 private:
  void interpolate(std::vector<FitPoint>& points, size_t low, size_t high);

  std::deque<Series> series_;
  std::deque<Replicates> replicates_;
};

}  // namespace metallic::tune
