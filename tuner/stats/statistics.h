// Order statistics and the block bootstrap that all intervals come from.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// The q-quantile, interpolated between neighbours; NaN for none. Reorders its argument.
double quantile(std::span<double> values, double q);

/// The median of the values that are not NaN; NaN for none.
double median(std::vector<double> values);

/// Median log times of a series' candidates under resampling: replicate 0 is the data itself, each other one draws
/// whole blocks with replacement, the same for all candidates, so that what they share stays shared. Blocks' effects are taken
/// out first. Two more are the medians of the even and of the odd blocks, for cross-fitting. A resample's distance from the data
/// is widened: by what few blocks hide (√(n/(n−1)) and Student's t against the normal), and by √((1+ρ)/(1−ρ)) where neighbouring
/// blocks are correlated.
class Replicates {
 public:
  Replicates(const Effects& effects, int count, uint64_t seed, double autocorrelation = 0);

  /// Those of a place between two others: log times interpolated, `share` of the way, for pairs of arms that are the same
  /// candidate.
  static Replicates between(const Replicates& low, const Replicates& high, std::span<const std::pair<size_t, size_t>> arms,
                            double share);

  int count() const { return count_; }
  /// The replicate of the blocks of one parity; a candidate that has none of those has its median over all.
  int half(int parity) const { return count_ + parity; }
  /// Median of log(ns); infinite where the candidate was not timed.
  double log_time(int replicate, size_t arm) const { return log_time_[static_cast<size_t>(replicate) * arms_ + arm]; }
  /// The least over the series' candidates.
  double best(int replicate) const { return best_[static_cast<size_t>(replicate)]; }
  /// How much slower than the best, a fraction.
  double loss(int replicate, size_t arm) const;

 private:
  Replicates(int count, size_t arms) : count_(count), arms_(arms) {}

  int count_;
  size_t arms_;
  std::vector<double> log_time_;
  std::vector<double> best_;
};

}  // namespace metallic::tune
