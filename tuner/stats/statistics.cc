#include "tuner/stats/statistics.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <cmath>
#include <limits>
#include <random>

namespace metallic::tune {

double quantile(std::span<double> values, double q) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::ranges::sort(values);
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double share = at - static_cast<double>(below);
  return share == 0 ? values[below] : values[below] * (1 - share) + values[above] * share;
}

double median(std::vector<double> values) {
  std::erase_if(values, [](double v) { return std::isnan(v); });
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  return boost::math::statistics::median(values);
}

Replicates::Replicates(const Effects& effects, int count, uint64_t seed, double autocorrelation)
    : count_(count), arms_(effects.middle.size()) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const size_t blocks = effects.log_time.empty() ? 0 : effects.log_time.front().size();
  std::vector<double> widen(arms_, 1);
  for (size_t a = 0; a < arms_; ++a) {
    const auto n = static_cast<double>(std::ranges::count_if(effects.log_time[a], [](double x) { return !std::isnan(x); }));
    if (n < 2) continue;
    // Beyond a few degrees of freedom; with two blocks Student's t would say that nothing is known.
    const boost::math::students_t student(std::max(n - 1, 3.0));
    widen[a] = std::sqrt(n / (n - 1)) * boost::math::quantile(student, 0.975) / 1.96 *
               std::sqrt((1 + autocorrelation) / (1 - autocorrelation));
  }
  std::mt19937_64 random(seed);
  std::vector<size_t> drawn;
  std::vector<double> times;
  log_time_.reserve(static_cast<size_t>(count + 2) * arms_);
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
    for (size_t a = 0; a < arms_; ++a) {
      times.clear();
      for (const size_t b : drawn)
        if (!std::isnan(effects.log_time[a][b])) times.push_back(effects.log_time[a][b]);
      double middle = effects.middle[a];
      if (std::isnan(middle))
        middle = kInfinity;
      else if (replicate > 0 && !times.empty())  // a candidate that was dropped early may be in none of the blocks drawn
        middle += (replicate < count ? widen[a] : 1) * (boost::math::statistics::median(times) - middle);
      log_time_.push_back(middle);
      best = std::min(best, middle);
    }
    best_.push_back(best);
  }
}

Replicates Replicates::between(const Replicates& low, const Replicates& high, std::span<const std::pair<size_t, size_t>> arms,
                               double share) {
  Replicates made(std::min(low.count_, high.count_), arms.size());
  for (int replicate = 0; replicate < made.count_ + 2; ++replicate) {
    double best = std::numeric_limits<double>::infinity();
    for (const auto& [of_low, of_high] : arms) {
      const double time = low.log_time(replicate, of_low) * (1 - share) + high.log_time(replicate, of_high) * share;
      made.log_time_.push_back(time);
      best = std::min(best, time);
    }
    made.best_.push_back(best);
  }
  return made;
}

double Replicates::loss(int replicate, size_t arm) const {
  const double time = log_time(replicate, arm);
  return std::isinf(time) ? std::numeric_limits<double>::infinity() : std::expm1(time - best(replicate));
}

}  // namespace metallic::tune
