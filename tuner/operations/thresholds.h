// SPDX-License-Identifier: Apache-2.0
// The tuning guide's thresholds of each operation that has some, found in the points of one rule key.
#pragma once

#include <vector>

#include "profile/profile.h"
#include "tuner/fit/thresholds.h"

namespace metallic::tune {

/// softmax_vec_block for each part of the axes that the leaves tell apart.
std::vector<Threshold> softmax_thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                          const Candidates& candidates, const AnalysisOptions& options);

/// smalln_max_n, simd_m_min and simd_n_min for each side of the weights.
std::vector<Threshold> matmul_thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                         const Candidates& candidates, const AnalysisOptions& options);

}  // namespace metallic::tune
