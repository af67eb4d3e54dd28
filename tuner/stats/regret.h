// Regret: how much slower a choice is than the best candidate, measured so that noise does not flatter the best.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// A fraction, below 0 by chance where the choice is the best, with its 95 % interval (Student's t over the blocks;
/// −1 to infinity where there are but two).
struct Regret {
  double value = 0, low = 0, high = 0;
  operator double() const { return value; }
};

/// Cross-fitted regret of a choice: in each block it is scored against the candidate that is best over all other blocks, and
/// the scores are averaged. All but one block pick, and not half of them, because a pick that misses the best by chance hides
/// regret. Blocks whose noise is correlated overstate it.
/// Nothing where the choice was not timed or fewer than two blocks have it.
std::optional<Regret> cross_fitted_regret(const Series& series, const Choice& choice);

/// The candidate of least median log time, blocks' effects taken out.
Choice best_choice(const Series& series, const Effects& effects);

struct RegretSummary {
  double mean = 0;  ///< weighted by the series' weights
  double p95 = 0;   ///< unweighted over series
  double worst = 0;
  size_t series = 0;
  /// 95 % bootstrap intervals over the series.
  double mean_low = 0, mean_high = 0;
  double p95_low = 0, p95_high = 0;
};

struct Scored {
  double regret;
  double weight;
};

RegretSummary summarize(std::span<const Scored> scored);

}  // namespace metallic::tune
