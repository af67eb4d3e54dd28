// Allocation: which series to time next, and which of its candidates, so that a budget buys the least regret.
#pragma once

#include <optional>
#include <random>
#include <vector>

#include "tuner/stats/block_effects.h"

namespace metallic::tune {

/// What is lost on average by taking the candidate that looks best where another one looks `worse_by` slower (log time, ≥ 0) and
/// the difference is known to ± `error`, normally distributed: probability of a wrong choice times what it loses.
double expected_loss(double worse_by, double error);

struct AllocationOptions {
  bool adaptive = true;    ///< false: every series alike
  double enough = 0.003;   ///< adaptive: stop at this expected residual regret …
  int least_blocks = 8;    ///< … and this many blocks of every series, four for each half of a cross-fit
  int most_blocks = 60;    ///< of a series
  double audit = 0.2;      ///< share of the time, after two blocks of each, for series without weight: shapes between the model's
  double hopeless = 4;     ///< a candidate so many times slower than the best after two blocks is timed no more
  double dominated = 0.1;  ///< nor one that is slower by this much (log time) and four standard errors, after three
  uint64_t seed = 1;
};

class Allocation {
 public:
  /// Series without blocks yet; `seconds` is what a block of each is thought to take.
  Allocation(std::vector<Series> series, std::vector<double> seconds, const AllocationOptions& options);

  struct Turn {
    size_t series;
    std::vector<bool> live;  ///< by arm
  };
  /// What to time next where `left_s` seconds are left; nothing where that is enough or nothing fits. First a block of each
  /// series, the dearest samples per second first, then a second one; what has weight gets these two whatever is left, since
  /// fewer say nothing. Then where weight × expected loss falls fastest per second.
  std::optional<Turn> next(double left_s);

  /// The times of one block in ns, by arm, NaN where not timed, and the seconds that it took.
  void add(size_t series, const std::vector<double>& times, double seconds);

  /// What the choices would lose on average over the weights if each series got the candidate that looks best now, a fraction;
  /// 1 where a series has no two blocks yet.
  double expected_residual() const;
  /// One series' part of that.
  double expected_residual(size_t series) const;

  const std::vector<Series>& series() const { return series_; }

 private:
  struct State {
    double share;    // of all weight: half by use, half evenly
    double seconds;  // of a block
    std::vector<bool> live;
    Effects effects;
    double loss = 1;  // expected, of taking what looks best
    size_t blocks = 0;
  };
  double deviation(const State& state) const;
  void update(size_t index);
  std::optional<size_t> pick(double left_s, bool audit) const;

  std::vector<Series> series_;
  std::vector<State> states_;
  AllocationOptions options_;
  double common_deviation_ = 0.05;  // of series with few blocks; a guess until some have three
  double audited_s_ = 0, adaptive_s_ = 0;
};

}  // namespace metallic::tune
