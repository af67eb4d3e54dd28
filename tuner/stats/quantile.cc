// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/quantile.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <cmath>
#include <limits>

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
  return median_in_place(values);
}

double median_in_place(std::span<double> values) { return boost::math::statistics::median(values); }

double median_absolute_deviation(std::span<const double> values, double center) {
  std::vector<double> deviations;
  deviations.reserve(values.size());
  for (const double value : values) deviations.push_back(std::abs(value - center));
  return median(std::move(deviations));
}

MedianInterval median_interval(std::span<const double> sorted) {
  // The number of values below the median is binomial(n, 1/2): its quantiles are the ranks that enclose the median.
  const boost::math::binomial_distribution<double> below(static_cast<double>(sorted.size()), 0.5);
  const auto last = static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(std::clamp(boost::math::quantile(below, 0.025) - 1, 0.0, last));
  const auto high = static_cast<size_t>(std::clamp(boost::math::quantile(below, 0.975), 0.0, last));
  return {median({sorted.begin(), sorted.end()}), sorted[low], sorted[high]};
}

}  // namespace metallic::tune
