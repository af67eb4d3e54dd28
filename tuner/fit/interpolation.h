// Between: places between two measured shapes of one line, where losses are interpolated. A rule is used there too: of two
// borders that lose the same on what was measured, the better one is told by what lies between.
#pragma once

#include <deque>
#include <vector>

#include "tuner/fit/points.h"

namespace metallic::tune {

/// Owns the series and replicates of interpolated points.
class Between {
 public:
  /// Adds points where neighbours on a line (shapes that differ on the axis alone, in the same cache state) are more than 1.3
  /// times apart, up to three an octave, and spreads the even part of the neighbours' weights over them, so that sums over points
  /// are integrals over the line. Real points keep their order in front.
  void fill(std::vector<Point>& points);

 private:
  void interpolate(std::vector<Point>& points, size_t low, size_t high);

  std::deque<Series> series_;
  std::deque<Replicates> replicates_;
};

}  // namespace metallic::tune
