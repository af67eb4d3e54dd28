// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/autocorrelation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tuner/stats/ranks.h"

namespace metallic::tune {

void LagOneSums::add(std::span<const double> deviations) {
  for (size_t i = 0; i < deviations.size(); ++i) {
    const double here = deviations[i];
    if (std::isnan(here)) continue;
    squares += here * here;
    if (i + 1 == deviations.size() || std::isnan(deviations[i + 1])) continue;
    products += here * deviations[i + 1];
    squares_of_firsts += here * here;
  }
}

double rank_autocorrelation(std::span<const double> values) {
  if (values.size() < 3) return 0;
  const double mean = static_cast<double>(values.size()) + 1;
  std::vector<double> deviations;
  for (const int64_t rank : doubled_ranks(values)) deviations.push_back(static_cast<double>(rank) - mean);
  LagOneSums sums;
  sums.add(deviations);
  return sums.squares > 0 ? std::clamp(sums.products / sums.squares, -1.0, 1.0) : 0;
}

double unbiased_rank_autocorrelation(std::span<const double> values) {
  if (values.size() < 4) return 0;
  const double raw = rank_autocorrelation(values);
  const bool constant = std::ranges::all_of(values, [&](double value) { return value == values.front(); });
  return constant ? 0 : raw + (1 + 3 * raw) / static_cast<double>(values.size());
}

double variance_inflation(double rho) {
  rho = std::clamp(rho, 0.0, 0.9);
  return (1 + rho) / (1 - rho);
}

}  // namespace metallic::tune
