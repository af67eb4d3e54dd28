#include "tune/regret.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "tune/statistics.h"

namespace metallic::tune {
namespace {

// Median log time over the blocks of one parity; NaN where there are none.
double half_log_time(const std::vector<double>& log_time, size_t parity) {
  std::vector<double> logs;
  for (size_t b = parity; b < log_time.size(); b += 2) logs.push_back(log_time[b]);
  return median(std::move(logs));
}

// Median of log(a/b) over blocks of one parity that have both; where blocks share nothing, the difference of medians.
double half_log_ratio(const std::vector<double>& a, const std::vector<double>& b, size_t parity) {
  std::vector<double> ratios;
  for (size_t i = parity; i < a.size(); i += 2)
    if (!std::isnan(a[i]) && !std::isnan(b[i])) ratios.push_back(a[i] - b[i]);
  return ratios.empty() ? half_log_time(a, parity) - half_log_time(b, parity) : median(std::move(ratios));
}

}  // namespace

std::optional<double> cross_fitted_regret(const Series& series, const Choice& choice) {
  return cross_fitted_regret(series, effects(series), choice);
}

std::optional<double> cross_fitted_regret(const Series& series, const Effects& effects, const Choice& choice) {
  const Arm* arm = series.find(choice);
  if (!arm) return std::nullopt;
  const auto& chosen = effects.log_time[static_cast<size_t>(arm - series.arms.data())];
  if (std::isnan(half_log_time(chosen, 0)) || std::isnan(half_log_time(chosen, 1))) return std::nullopt;
  double sum = 0;
  for (const size_t fit : {size_t{0}, size_t{1}}) {
    const std::vector<double>* best = &chosen;
    for (const auto& other : effects.log_time) {
      const double time = half_log_time(other, fit);
      if (!std::isnan(time) && !std::isnan(half_log_time(other, 1 - fit)) && time < half_log_time(*best, fit)) best = &other;
    }
    sum += half_log_ratio(chosen, *best, 1 - fit);
  }
  return std::expm1(sum / 2);
}

Choice best_choice(const Series& series, const Effects& effects) {
  size_t best = series.arms.size();
  for (size_t arm = 0; arm < series.arms.size(); ++arm)
    if (!std::isnan(effects.middle[arm]) && (best == series.arms.size() || effects.middle[arm] < effects.middle[best])) best = arm;
  return best == series.arms.size() ? Choice{} : series.arms[best].choice;
}

namespace {

double weighted_mean(std::span<const Scored> scored) {
  double sum = 0, weight = 0, plain = 0;
  for (const Scored& s : scored) sum += s.regret * s.weight, weight += s.weight, plain += s.regret;
  // Shapes that nobody weighs are equal.
  return weight > 0 ? sum / weight : plain / static_cast<double>(scored.size());
}

double p95(std::span<const Scored> scored) {
  std::vector<double> regrets;
  for (const Scored& s : scored) regrets.push_back(s.regret);
  return quantile(regrets, 0.95);
}

}  // namespace

RegretSummary summarize(std::span<const Scored> scored) {
  if (scored.empty()) return {};
  RegretSummary summary{.mean = weighted_mean(scored), .p95 = p95(scored), .worst = scored.front().regret, .series = scored.size()};
  for (const Scored& s : scored) summary.worst = std::max(summary.worst, s.regret);
  constexpr int kResamples = 400;
  std::mt19937_64 random(scored.size());
  std::vector<double> means, p95s;
  std::vector<Scored> drawn(scored.size());
  for (int i = 0; i < kResamples; ++i) {
    for (Scored& one : drawn) one = scored[random() % scored.size()];
    means.push_back(weighted_mean(drawn));
    p95s.push_back(p95(drawn));
  }
  summary.mean_low = quantile(means, 0.025), summary.mean_high = quantile(means, 0.975);
  summary.p95_low = quantile(p95s, 0.025), summary.p95_high = quantile(p95s, 0.975);
  return summary;
}

}  // namespace metallic::tune
