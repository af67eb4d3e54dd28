#include "tune/regret.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tune/statistics.h"

namespace metallic::tune {
namespace {

// Median of log(time) over the blocks of one parity; NaN where there are none.
double half_log_time(const Arm& arm, size_t parity) {
  std::vector<double> logs;
  for (size_t b = parity; b < arm.time.size(); b += 2) logs.push_back(std::log(arm.time[b]));
  return median(std::move(logs));
}

// Median of log(a/b) over blocks of one parity that have both; where blocks share nothing, the difference of medians.
double half_log_ratio(const Arm& a, const Arm& b, size_t parity) {
  std::vector<double> ratios;
  for (size_t i = parity; i < a.time.size(); i += 2)
    if (!std::isnan(a.time[i]) && !std::isnan(b.time[i])) ratios.push_back(std::log(a.time[i] / b.time[i]));
  return ratios.empty() ? half_log_time(a, parity) - half_log_time(b, parity) : median(std::move(ratios));
}

}  // namespace

std::optional<double> cross_fitted_regret(const Series& series, const Choice& choice) {
  const Arm* chosen = series.find(choice);
  if (!chosen || std::isnan(half_log_time(*chosen, 0)) || std::isnan(half_log_time(*chosen, 1))) return std::nullopt;
  double sum = 0;
  for (const size_t fit : {size_t{0}, size_t{1}}) {
    const Arm* best = chosen;
    for (const Arm& arm : series.arms) {
      const double time = half_log_time(arm, fit);
      if (!std::isnan(time) && !std::isnan(half_log_time(arm, 1 - fit)) && time < half_log_time(*best, fit)) best = &arm;
    }
    sum += half_log_ratio(*chosen, *best, 1 - fit);
  }
  return std::expm1(sum / 2);
}

Choice best_choice(const Series& series) {
  const Replicates data(series, 1, 0);
  size_t best = 0;
  for (size_t arm = 1; arm < series.arms.size(); ++arm)
    if (data.log_time(0, arm) < data.log_time(0, best)) best = arm;
  return series.arms.empty() ? Choice{} : series.arms[best].choice;
}

RegretSummary summarize(std::span<const Scored> scored) {
  if (scored.empty()) return {};
  RegretSummary summary{.worst = scored.front().regret, .series = scored.size()};
  double weight = 0;
  std::vector<double> regrets;
  for (const Scored& s : scored) {
    summary.mean += s.regret * s.weight;
    weight += s.weight;
    summary.worst = std::max(summary.worst, s.regret);
    regrets.push_back(s.regret);
  }
  summary.mean = weight > 0 ? summary.mean / weight : 0;
  summary.p95 = quantile(regrets, 0.95);
  return summary;
}

}  // namespace metallic::tune
