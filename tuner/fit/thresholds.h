// Thresholds: the guide's constants at their best on this machine, with interval and equivalence band, for people and for other
// code.
#pragma once

#include <vector>

#include "profile/profile.h"
#include "tuner/fit/analysis.h"
#include "tuner/fit/tree.h"

namespace metallic::tune {

/// softmax_vec_block for each part of `rows` that the leaves tell apart; smalln_max_n, simd_m_min and simd_n_min for each side of
/// the weights; none for sdpa. `points` are those of one rule key. A threshold takes the border that the rules have where they
/// have exactly one; where they have more, the one of least weighted loss. One that loses less than half a percent against that
/// is as good: the earlier value stays in that band, then the default.
std::vector<Threshold> thresholds(const std::vector<Point>& points, const std::vector<Leaf>& leaves, const Candidates& candidates,
                                  const AnalysisOptions& options);

}  // namespace metallic::tune
