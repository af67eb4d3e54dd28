// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/regret.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

// log(chosen / other) by block, NaN if one is missing. Clipped at six median absolute deviations: values beyond are
// interruptions.
std::vector<double> log_ratios(const CandidateTimes& chosen, const CandidateTimes& other) {
  std::vector<double> ratios;
  for (size_t b = 0; b < chosen.time.size(); ++b) ratios.push_back(std::log(chosen.time[b]) - std::log(other.time[b]));
  const double middle = median(ratios), reach = 6 * median_absolute_deviation(ratios, middle);
  for (double& ratio : ratios) ratio = std::clamp(ratio, middle - reach, middle + reach);
  return ratios;
}

// What another candidate gains over the choice. The mean over all blocks but one follows from the sum over all.
struct Advantage {
  std::vector<double> by_block;
  double sum = 0;
  double blocks = 0;
  double mean_without(size_t block) const { return (sum - by_block[block]) / (blocks - 1); }
};

std::vector<Advantage> advantages(const Series& series, const CandidateTimes& chosen) {
  std::vector<Advantage> all;
  for (const CandidateTimes& candidate : series.candidates) {
    if (&candidate == &chosen) continue;
    Advantage other{.by_block = log_ratios(chosen, candidate), .sum = 0, .blocks = 0};
    for (const double ratio : other.by_block)
      if (!std::isnan(ratio)) other.sum += ratio, ++other.blocks;
    if (other.blocks >= 2) all.push_back(std::move(other));
  }
  return all;
}

// Mean log score and Student's interval as fractions.
Regret regret_of(std::span<const double> scores) {
  const auto blocks = static_cast<double>(scores.size());
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / blocks;
  double squares = 0;
  for (const double score : scores) squares += (score - mean) * (score - mean);
  if (scores.size() == 2) return {.value = std::expm1(mean), .low = -1, .high = std::numeric_limits<double>::infinity()};
  const double reach =
      boost::math::quantile(boost::math::students_t(blocks - 1), 0.975) * std::sqrt(squares / (blocks - 1) / blocks);
  return {.value = std::expm1(mean), .low = std::expm1(mean - reach), .high = std::expm1(mean + reach)};
}

double weighted_mean(std::span<const WeightedRegret> regrets) {
  double sum = 0, weight = 0, plain = 0;
  for (const WeightedRegret& each : regrets) sum += each.regret * each.weight, weight += each.weight, plain += each.regret;
  return weight > 0 ? sum / weight : plain / static_cast<double>(regrets.size());
}

double p95(std::span<const WeightedRegret> regrets) {
  std::vector<double> values;
  for (const WeightedRegret& each : regrets) values.push_back(each.regret);
  return quantile(values, 0.95);
}

}  // namespace

std::optional<Regret> cross_fitted_regret(const Series& series, const KernelConfig& choice) {
  const CandidateTimes* chosen = series.find(choice);
  if (!chosen) return std::nullopt;
  const std::vector<Advantage> others = advantages(series, *chosen);
  std::vector<double> scores;
  for (size_t block = 0; block < chosen->time.size(); ++block) {
    if (std::isnan(chosen->time[block])) continue;
    double most = 0, score = 0;  // the choice has no advantage over itself
    for (const Advantage& other : others)
      if (!std::isnan(other.by_block[block]) && other.mean_without(block) > most)
        most = other.mean_without(block), score = other.by_block[block];
    scores.push_back(score);
  }
  if (scores.size() < 2) return std::nullopt;
  return regret_of(scores);
}

KernelConfig best_config(const Series& series, const BlockEffects& effects) {
  const auto& medians = effects.median;
  const CandidateTimes* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (size_t c = 0; c < series.candidates.size(); ++c)
    if (!std::isnan(medians[c]) && (!best || medians[c] < least)) best = &series.candidates[c], least = medians[c];
  return best ? best->config : KernelConfig{};
}

RegretSummary summarize(std::span<const WeightedRegret> regrets) {
  if (regrets.empty()) return {};
  RegretSummary summary{
      .mean = weighted_mean(regrets), .p95 = p95(regrets), .worst = regrets.front().regret, .series = regrets.size()};
  for (const WeightedRegret& each : regrets) summary.worst = std::max(summary.worst, each.regret);
  constexpr int kResamples = 400;
  std::mt19937_64 random(regrets.size());
  std::vector<double> means, p95s;
  std::vector<WeightedRegret> drawn(regrets.size());
  for (int i = 0; i < kResamples; ++i) {
    for (WeightedRegret& one : drawn) one = regrets[random() % regrets.size()];
    means.push_back(weighted_mean(drawn));
    p95s.push_back(p95(drawn));
  }
  summary.mean_low = quantile(means, 0.025), summary.mean_high = quantile(means, 0.975);
  summary.p95_low = quantile(p95s, 0.025), summary.p95_high = quantile(p95s, 0.975);
  return summary;
}

}  // namespace metallic::tune
