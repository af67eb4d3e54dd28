// Order statistics and the block bootstrap that all intervals come from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tune/measurements.h"

namespace metallic::tune {

/// The q-quantile, interpolated between neighbours; NaN for none. Reorders its argument.
double quantile(std::span<double> values, double q);

/// The median of the values that are not NaN; NaN for none.
double median(std::vector<double> values);

/// Median log times of a series' candidates under resampling: replicate 0 is the data itself, each other one draws
/// whole blocks with replacement, the same for all candidates, so that what they share stays shared.
class Replicates {
 public:
  Replicates(const Series& series, int count, uint64_t seed);

  int count() const { return count_; }
  /// Median of log(ns); infinite where the candidate was not timed.
  double log_time(int replicate, size_t arm) const { return log_time_[static_cast<size_t>(replicate) * arms_ + arm]; }
  /// The least over the series' candidates.
  double best(int replicate) const { return best_[static_cast<size_t>(replicate)]; }
  /// How much slower than the best, a fraction.
  double loss(int replicate, size_t arm) const;

 private:
  int count_;
  size_t arms_;
  std::vector<double> log_time_;
  std::vector<double> best_;
};

}  // namespace metallic::tune
