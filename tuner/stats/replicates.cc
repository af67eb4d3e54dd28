// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/replicates.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How much wider the distribution of a candidate's median is than resampling shows.
double widening(const std::vector<double>& log_times, double autocorrelation) {
  const auto n = static_cast<double>(std::ranges::count_if(log_times, [](double x) { return !std::isnan(x); }));
  if (n < 2) return 1;
  // At least three degrees of freedom: with two blocks Student's t would say that nothing is known.
  const boost::math::students_t student(std::max(n - 1, 3.0));
  return std::sqrt(n / (n - 1)) * boost::math::quantile(student, 0.975) / 1.96 *
         std::sqrt((1 + autocorrelation) / (1 - autocorrelation));
}

}  // namespace

Replicates::Replicates(const BlockEffects& effects, int count, uint64_t seed, double autocorrelation)
    : count_(count), candidates_(effects.median.size()) {
  const size_t blocks = effects.log_time.empty() ? 0 : effects.log_time.front().size();
  std::vector<double> widen;
  for (const auto& log_times : effects.log_time) widen.push_back(widening(log_times, autocorrelation));
  std::mt19937_64 random(seed);
  std::vector<size_t> drawn;
  std::vector<double> times;
  log_time_.reserve(static_cast<size_t>(count + 2) * candidates_);
  for (int replicate = 0; replicate < count + 2; ++replicate) {
    drawn.clear();
    for (size_t b = 0; b < blocks; ++b) {
      if (replicate == 0)
        drawn.push_back(b);
      else if (replicate < count)
        drawn.push_back(random() % blocks);
      else if (static_cast<int>(b % 2) == replicate - count)
        drawn.push_back(b);
    }
    double best = kInfinity;
    for (size_t c = 0; c < candidates_; ++c) {
      times.clear();
      for (const size_t b : drawn)
        if (!std::isnan(effects.log_time[c][b])) times.push_back(effects.log_time[c][b]);
      double log_time = effects.median[c];
      if (std::isnan(log_time))
        log_time = kInfinity;
      else if (replicate > 0 && !times.empty())  // a candidate that was dropped early may be in none of the blocks drawn
        log_time += (replicate < count ? widen[c] : 1) * (median_in_place(times) - log_time);
      log_time_.push_back(log_time);
      best = std::min(best, log_time);
    }
    best_.push_back(best);
  }
}

Replicates Replicates::interpolate(const Replicates& low, const Replicates& high,
                                   std::span<const std::pair<size_t, size_t>> candidates, double share) {
  Replicates made(std::min(low.count_, high.count_), candidates.size());
  for (int replicate = 0; replicate < made.count_ + 2; ++replicate) {
    double best = kInfinity;
    for (const auto& [of_low, of_high] : candidates) {
      const double time = low.log_time(replicate, of_low) * (1 - share) + high.log_time(replicate, of_high) * share;
      made.log_time_.push_back(time);
      best = std::min(best, time);
    }
    made.best_.push_back(best);
  }
  return made;
}

double Replicates::loss(int replicate, size_t candidate) const {
  const double time = log_time(replicate, candidate);
  return std::isinf(time) ? kInfinity : std::expm1(time - best(replicate));
}

}  // namespace metallic::tune
