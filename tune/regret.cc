#include "tune/regret.h"

#include <algorithm>
#include <cmath>

#include "tune/statistics.h"

namespace metallic::tune {
namespace {

// log(chosen / other) by block, NaN where one is missing, without the tails: beyond six median deviations lie interruptions.
std::vector<double> log_ratios(const Arm& chosen, const Arm& other) {
  std::vector<double> ratios;
  for (size_t b = 0; b < chosen.time.size(); ++b) ratios.push_back(std::log(chosen.time[b]) - std::log(other.time[b]));
  const double middle = median(ratios);
  std::vector<double> deviations;
  for (const double ratio : ratios) deviations.push_back(std::abs(ratio - middle));
  const double reach = 6 * median(std::move(deviations));
  for (double& ratio : ratios) ratio = std::clamp(ratio, middle - reach, middle + reach);
  return ratios;
}

// The mean over all blocks but one is had from the sum over all.
struct Advantage {
  std::vector<double> by_block;
  double sum = 0;
  double blocks = 0;
  double without(size_t block) const { return (sum - by_block[block]) / (blocks - 1); }
};

}  // namespace

std::optional<double> cross_fitted_regret(const Series& series, const Choice& choice) {
  const Arm* chosen = series.find(choice);
  if (!chosen) return std::nullopt;
  std::vector<Advantage> others;
  for (const Arm& arm : series.arms) {
    if (&arm == chosen) continue;
    Advantage other{.by_block = log_ratios(*chosen, arm)};
    for (const double ratio : other.by_block)
      if (!std::isnan(ratio)) other.sum += ratio, ++other.blocks;
    if (other.blocks >= 2) others.push_back(std::move(other));
  }
  double sum = 0, blocks = 0;
  for (size_t block = 0; block < chosen->time.size(); ++block) {
    if (std::isnan(chosen->time[block])) continue;
    double most = 0, score = 0;  // the choice itself has no advantage over itself
    for (const Advantage& other : others)
      if (!std::isnan(other.by_block[block]) && other.without(block) > most)
        most = other.without(block), score = other.by_block[block];
    sum += score;
    ++blocks;
  }
  if (blocks < 2) return std::nullopt;
  return std::expm1(sum / blocks);
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
