// SPDX-License-Identifier: Apache-2.0
// Block effects: separates the disturbance that the candidates of a block share from their own times, so that candidates that
// were not timed in the same blocks can be compared.
#pragma once

#include <vector>

#include "tuner/stats/measurements.h"

namespace metallic::tune {

/// log(time) of candidates × blocks as candidate + block + residual. Medians over blocks fit the candidates, clipped means over
/// candidates fit the blocks: an outlier stays a residual.
struct BlockEffects {
  std::vector<std::vector<double>> log_time;  ///< [candidate][block] without the block's effect; NaN if not timed there
  std::vector<double> median;                 ///< [candidate] of those; NaN if there are none
  /// Standard deviation of the log of one timing: robust (1.4826 · median |residual|) and corrected for the fitted parameters. 0
  /// if there is only one candidate or one block.
  double deviation = 0;
  double freedom = 0;  ///< degrees of freedom of the deviation: residuals less fitted parameters
};

/// Fits a series. A candidate with fewer than `min_blocks` blocks counts as not timed: one block cannot tell a fast candidate
/// from a lucky one.
BlockEffects fit_block_effects(const Series& series, int min_blocks = 1);

/// Lag-1 autocorrelation of the residuals of one candidate from block to block, pooled over all candidates with 8 blocks or more
/// and limited to [0, 0.9]; 0 if there are none.
double autocorrelation(const std::vector<BlockEffects>& all);

}  // namespace metallic::tune
