// SPDX-License-Identifier: Apache-2.0
// Budget allocation: chooses the series and candidates to time next, so that a budget of time buys the least regret. It is a
// best-arm identification bandit for each series; a candidate is an arm.
#pragma once

#include <optional>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// The expected loss of taking the candidate that looks best over one that looks `worse_by` slower (log time, ≥ 0), if the
/// difference is normally distributed with standard error `error`: the probability of a wrong choice times what it loses.
double expected_loss(double worse_by, double error);

struct AllocationOptions {
  bool adaptive = true;    ///< false: all series alike
  double enough = 0.003;   ///< adaptive: stop at this expected residual regret …
  int least_blocks = 8;    ///< … and this many blocks of every series, four for each half of a cross-fit
  int most_blocks = 60;    ///< of a series
  double audit = 0.2;      ///< fraction of the time, after two blocks of each series, for series without weight
  double hopeless = 4;     ///< a candidate this many times slower than the best after two blocks is dropped
  double dominated = 0.1;  ///< so is one slower by this much (log time) and by four standard errors after three
  uint64_t seed = 1;
};

class Allocation {
 public:
  /// The series have no blocks yet. `seconds` estimates the time of one block of each.
  Allocation(std::vector<Series> series, std::vector<double> seconds, const AllocationOptions& options);

  struct Turn {
    size_t series;
    std::vector<bool> live;  ///< by arm
  };
  /// What to time next if `left_s` seconds are left; nothing if the samples are enough or nothing fits. Each series first gets
  /// one block, most samples per second first, then a second one. Series with weight get these two even if the time is up,
  /// because fewer say nothing. After that the series goes first whose weight × expected loss falls fastest per second.
  std::optional<Turn> next(double left_s);

  /// Adds one block: times in ns by arm, NaN if not timed, and the seconds that the block took.
  void add(size_t series, const std::vector<double>& times, double seconds);

  /// The expected regret, weighted over the series, if each series got the candidate that looks best now, a fraction. A series
  /// with fewer than two blocks counts as 1.
  double expected_residual() const;
  /// The part of one series in that sum.
  double expected_residual(size_t series) const;

  const std::vector<Series>& series() const { return series_; }

 private:
  struct State {
    double share;    // of the weight of all series: half by use, half evenly
    double seconds;  // of a block
    std::vector<bool> live;
    BlockEffects effects;
    double loss = 1;  // expected, of taking what looks best
    size_t blocks = 0;
  };
  double deviation(const State& state) const;
  void update(size_t index);
  std::optional<size_t> pick(double left_s, bool audit) const;

  std::vector<Series> series_;
  std::vector<State> states_;
  AllocationOptions options_;
  double common_deviation_ = 0.05;  // of series with few blocks; a guess until five series have three blocks
  double audited_s_ = 0, adaptive_s_ = 0;
};

}  // namespace metallic::tune
