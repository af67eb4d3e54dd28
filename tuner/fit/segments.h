// SPDX-License-Identifier: Apache-2.0
// Segments: assigns a candidate to each stretch of one axis so that the weighted loss is least, by dynamic programming.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace metallic::tune {

/// The weighted loss of each candidate at one place on the axis, summed over the points there.
struct LossColumn {
  int64_t x;
  std::vector<double> loss;  ///< one for each candidate, finite
};

/// One candidate over neighbouring columns.
struct AxisSegment {
  size_t begin;
  size_t end;  ///< past the last
  size_t candidate;
};

struct Segmentation {
  double cost = 0;  ///< losses and penalties
  std::vector<AxisSegment> segments;
};

/// The segmentation of least cost, if each segment costs the penalty of its candidate. The first of equal candidates wins.
Segmentation fit_segments(std::span<const LossColumn> columns, std::span<const double> penalties);

}  // namespace metallic::tune
