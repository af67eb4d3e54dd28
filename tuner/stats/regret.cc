#include "tuner/stats/regret.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tuner/stats/statistics.h"

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

std::optional<Regret> cross_fitted_regret(const Series& series, const Choice& choice) {
  const Arm* chosen = series.find(choice);
  if (!chosen) return std::nullopt;
  std::vector<Advantage> others;
  for (const Arm& arm : series.arms) {
    if (&arm == chosen) continue;
    Advantage other{.by_block = log_ratios(*chosen, arm), .sum = 0, .blocks = 0};
    for (const double ratio : other.by_block)
      if (!std::isnan(ratio)) other.sum += ratio, ++other.blocks;
    if (other.blocks >= 2) others.push_back(std::move(other));
  }
  std::vector<double> scores;
  for (size_t block = 0; block < chosen->time.size(); ++block) {
    if (std::isnan(chosen->time[block])) continue;
    double most = 0, score = 0;  // the choice itself has no advantage over itself
    for (const Advantage& other : others)
      if (!std::isnan(other.by_block[block]) && other.without(block) > most)
        most = other.without(block), score = other.by_block[block];
    scores.push_back(score);
  }
  if (scores.size() < 2) return std::nullopt;
  const auto blocks = static_cast<double>(scores.size());
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / blocks;
  double squares = 0;
  for (const double score : scores) squares += (score - mean) * (score - mean);
  if (scores.size() == 2) return Regret{.value = std::expm1(mean), .low = -1, .high = std::numeric_limits<double>::infinity()};
  const double reach =
      boost::math::quantile(boost::math::students_t(blocks - 1), 0.975) * std::sqrt(squares / (blocks - 1) / blocks);
  return Regret{.value = std::expm1(mean), .low = std::expm1(mean - reach), .high = std::expm1(mean + reach)};
}

Choice best_choice(const Series& series, const Effects& effects) {
  size_t best = series.arms.size();
  for (size_t arm = 0; arm < series.arms.size(); ++arm)
    if (!std::isnan(effects.middle[arm]) && (best == series.arms.size() || effects.middle[arm] < effects.middle[best]))
      best = arm;
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
  RegretSummary summary{
      .mean = weighted_mean(scored), .p95 = p95(scored), .worst = scored.front().regret, .series = scored.size()};
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
