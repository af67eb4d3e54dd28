// SPDX-License-Identifier: Apache-2.0
// Budget replay: feeds the recorded blocks of a run through the allocation again, to show where samples went and what they
// bought.
#pragma once

#include <cstddef>
#include <vector>

#include "tuner/stats/measurements.h"

namespace metallic::tune {

struct BudgetReplay {
  struct Moment {
    double at_s;               ///< since the run began
    size_t blocks;             ///< begun by then
    double expected_residual;  ///< of the candidates that looked best then, see allocation.h
  };
  /// The part of one series in the expected residual, a fraction; the parts add up to that of the run.
  struct SeriesResidual {
    double screened;  ///< after its first two blocks, when the allocation begins to choose
    double last;
  };
  std::vector<Moment> moments;
  std::vector<SeriesResidual> series;  ///< one for each series
};

/// Replays a run with `moments` evenly spaced moments up to its last block. Empty if the samples do not say when their blocks
/// were timed.
BudgetReplay replay_budget(const Measurements& measurements, size_t moments = 12);

}  // namespace metallic::tune
