// SPDX-License-Identifier: Apache-2.0
// Regret: how much slower a choice is than the best candidate, measured so that noise does not flatter the best.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// A fraction with its 95 % interval (Student's t over the blocks; −1 to infinity if there are only two). Chance can put it below
/// 0 if the choice is the best.
struct Regret {
  double value = 0, low = 0, high = 0;
  operator double() const { return value; }
};

/// Cross-fitted regret of a choice: each block scores it against the candidate that is best over all other blocks, and the scores
/// are averaged. All other blocks pick, not half of them: a pick that misses the best by chance hides regret. Correlated noise of
/// neighbouring blocks overstates it. Nothing if the choice was not timed or fewer than two blocks have it.
std::optional<Regret> cross_fitted_regret(const Series& series, const KernelConfig& choice);

/// The candidate of least median log time, with block effects removed.
KernelConfig best_config(const Series& series, const BlockEffects& effects);

/// Regret over several problems, with 95 % bootstrap intervals over the problems.
struct RegretSummary {
  double mean = 0;  ///< weighted by the series' weights
  double p95 = 0;   ///< not weighted
  double worst = 0;
  size_t series = 0;
  double mean_low = 0, mean_high = 0;
  double p95_low = 0, p95_high = 0;
};

struct WeightedRegret {
  double regret;
  double weight;
};

RegretSummary summarize(std::span<const WeightedRegret> regrets);

}  // namespace metallic::tune
