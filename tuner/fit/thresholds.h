// Thresholds: the constants of classic kernel dispatchers at their best on this machine, with confidence interval and equivalence
// band, for people and for other code.
#pragma once

#include <vector>

#include "profile/profile.h"
#include "tuner/fit/analysis.h"
#include "tuner/fit/tree.h"

namespace metallic::tune {

/// The thresholds of one rule key, whose points are given. Softmax has softmax_vec_block for each leaf. Matmul has smalln_max_n,
/// simd_m_min and simd_n_min for each side of the weights. Sdpa has none.
///
/// A threshold is the border of the rules if they have exactly one, else the value of least weighted loss. Values that lose less
/// than half a percent against that one are equivalent; among them the earlier value stays, or else the default.
std::vector<Threshold> thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                  const Candidates& candidates, const AnalysisOptions& options);

}  // namespace metallic::tune
