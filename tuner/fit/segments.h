// Segments: which candidate to use along one axis so that the weighted loss is least, by dynamic programming.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace metallic::tune {

/// What each candidate loses at one place on the axis, weighted, summed over the points that lie there.
struct Column {
  int64_t x;
  std::vector<double> loss;  ///< one for each candidate, finite
};

/// One candidate over neighbouring columns.
struct Segment {
  size_t begin;
  size_t end;  ///< past the last
  size_t candidate;
};

struct Segmentation {
  double cost = 0;  ///< losses and penalties
  std::vector<Segment> segments;
};

/// The segmentation of least cost where a segment of a candidate costs its penalty; of equal candidates the first.
Segmentation fit_segments(std::span<const Column> columns, std::span<const double> penalties);

}  // namespace metallic::tune
