#include "tune/statistics.h"

#include <algorithm>
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

Replicates::Replicates(const Series& series, int count, uint64_t seed) : count_(count), arms_(series.arms.size()) {
  const size_t blocks = series.blocks();
  std::mt19937_64 random(seed);
  std::vector<size_t> drawn(blocks);
  std::vector<double> times;
  for (int replicate = 0; replicate < count; ++replicate) {
    for (size_t b = 0; b < blocks; ++b) drawn[b] = replicate == 0 ? b : random() % blocks;
    double best = std::numeric_limits<double>::infinity();
    for (const Arm& arm : series.arms) {
      times.clear();
      for (const size_t b : drawn)
        if (!std::isnan(arm.time[b])) times.push_back(arm.time[b]);
      const double middle =
          times.empty() ? std::numeric_limits<double>::infinity() : std::log(boost::math::statistics::median(times));
      log_time_.push_back(middle);
      best = std::min(best, middle);
    }
    best_.push_back(best);
  }
}

double Replicates::loss(int replicate, size_t arm) const {
  const double time = log_time(replicate, arm);
  return std::isinf(time) ? std::numeric_limits<double>::infinity() : std::expm1(time - best(replicate));
}

}  // namespace metallic::tune
