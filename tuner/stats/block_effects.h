// Effects: a series without what its blocks share, so that candidates that were not in the same blocks compare too.
#pragma once

#include <vector>

#include "tuner/stats/measurements.h"

namespace metallic::tune {

/// log(time) of arms × blocks as arm + block + rest, fitted by medians over blocks and cut means over arms: an outlier stays a
/// rest.
struct Effects {
  std::vector<std::vector<double>> log_time;  ///< [arm][block], less the block's effect; NaN where the arm was not timed
  std::vector<double> middle;                 ///< [arm] median of those; NaN without any
  /// Standard deviation of the log of one timing, robust (1.4826·median |rest|) and corrected for what the fit took out; 0 where
  /// there is no more than one arm or block to tell from.
  double deviation = 0;
  double freedom = 0;  ///< rests that the deviation rests on, less what was fitted
};

/// An arm with fewer blocks than `least` counts as not timed: one block cannot tell a fast candidate from a lucky one.
Effects effects(const Series& series, int least = 1);

/// Lag-1 autocorrelation of what arms do from block to block, over all series with 8 blocks or more; 0 where there is none.
double autocorrelation(const std::vector<Effects>& all);

}  // namespace metallic::tune
