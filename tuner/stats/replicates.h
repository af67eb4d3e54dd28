// SPDX-License-Identifier: Apache-2.0
// The block bootstrap that the intervals of a series come from.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// Median log times of a series' candidates under resampling, with the effects of blocks removed.
///
/// Replicate 0 is the data. Every other replicate draws whole blocks with replacement, the same ones for all candidates, so that
/// disturbances that candidates share stay shared. Two more replicates are the medians of the even and of the odd blocks, for
/// cross-fitting. The distance of a resample from the data is widened by what few blocks hide (√(n/(n−1)), and Student's t over
/// the normal distribution) and, if neighbouring blocks are correlated, by √((1+ρ)/(1−ρ)).
class Replicates {
 public:
  Replicates(const BlockEffects& effects, int count, uint64_t seed, double autocorrelation = 0);

  /// The replicates of a place between two others: log times interpolated linearly, at the fraction `share` of the way. Each pair
  /// of indices is one candidate of both series.
  static Replicates interpolate(const Replicates& low, const Replicates& high,
                                std::span<const std::pair<size_t, size_t>> candidates, double share);

  int count() const { return count_; }
  /// The replicate of the blocks of one parity. A candidate without such blocks has its median over all blocks there.
  int half(int parity) const { return count_ + parity; }
  /// Median of log(ns); infinite if the candidate was not timed.
  double log_time(int replicate, size_t candidate) const {
    return log_time_[static_cast<size_t>(replicate) * candidates_ + candidate];
  }
  /// The least over the candidates of the series.
  double best(int replicate) const { return best_[static_cast<size_t>(replicate)]; }
  /// How much slower than the best the candidate is, a fraction.
  double loss(int replicate, size_t candidate) const;

 private:
  Replicates(int count, size_t candidates) : count_(count), candidates_(candidates) {}

  int count_;
  size_t candidates_;
  std::vector<double> log_time_;
  std::vector<double> best_;
};

}  // namespace metallic::tune
