// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/points.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace metallic::tune {

std::string_view family(std::string_view variant) {
  const size_t at = variant.find('_');
  return at == std::string_view::npos ? variant : variant.substr(at + 1);
}

double best_log_time(const FitPoint& point, const Allowed& allowed, int replicate) {
  const auto& candidates = point.series->candidates;
  double best = std::numeric_limits<double>::infinity();
  for (size_t c = 0; c < candidates.size(); ++c)
    if (allowed(candidates[c].config)) best = std::min(best, point.replicates->log_time(replicate, c));
  return best;
}

double loss(const FitPoint& point, const KernelConfig& config, int replicate) {
  const CandidateTimes* found = point.series->find(config);
  if (!found) return std::numeric_limits<double>::infinity();
  return point.replicates->loss(replicate, static_cast<size_t>(found - point.series->candidates.data()));
}

int64_t geometric_middle(int64_t low, int64_t high) {
  return std::clamp(static_cast<int64_t>(std::sqrt(static_cast<double>(low) * static_cast<double>(high))), low, high - 1);
}

double crossing(int64_t x0, double r0, int64_t x1, double r1) {
  const double from = std::log(static_cast<double>(std::max<int64_t>(x0, 1))), to = std::log(static_cast<double>(x1));
  return std::exp(from + (to - from) * (0 - r0) / (r1 - r0));
}

}  // namespace metallic::tune
