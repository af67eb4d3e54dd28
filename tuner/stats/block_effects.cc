// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/block_effects.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr double kNotTimed = std::numeric_limits<double>::quiet_NaN();

std::ptrdiff_t timed(const std::vector<double>& times) {
  return std::ranges::count_if(times, [](double time) { return !std::isnan(time); });
}

// The mean residual of each block's candidates, clipped at three deviations from their median. The median itself would not do: of
// a few candidates it is the residual of one of them. That candidate's time would become its mean over all blocks, and halves of
// the blocks would know of each other.
std::vector<double> effects_of_blocks(const BlockEffects& fit) {
  const size_t candidates = fit.median.size(), blocks = fit.log_time.front().size();
  std::vector<std::vector<double>> residuals(blocks);
  std::vector<double> medians(blocks, 0), deviations;
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t c = 0; c < candidates; ++c)
      if (const double residual = fit.log_time[c][b] - fit.median[c]; !std::isnan(residual)) residuals[b].push_back(residual);
    if (residuals[b].empty()) continue;
    medians[b] = median(residuals[b]);
    // The median of an odd number is one of them, and its deviation of 0 says nothing.
    for (const double residual : residuals[b])
      if (residual != medians[b]) deviations.push_back(std::abs(residual - medians[b]));
  }
  const double reach = deviations.empty() ? 0 : 3 * kSigmaPerMad * median(std::move(deviations));
  std::vector<double> effects(blocks, 0);
  for (size_t b = 0; b < blocks; ++b)
    for (const double residual : residuals[b])
      effects[b] += std::clamp(residual, medians[b] - reach, medians[b] + reach) / static_cast<double>(residuals[b].size());
  return effects;
}

void fit_candidates(BlockEffects& fit) {
  for (size_t c = 0; c < fit.median.size(); ++c) fit.median[c] = median(fit.log_time[c]);
}

void subtract_blocks(BlockEffects& fit) {
  const std::vector<double> effects = effects_of_blocks(fit);
  const double shift = median(effects);  // effects are relative: the typical block keeps its time
  for (auto& log_times : fit.log_time)
    for (size_t b = 0; b < effects.size(); ++b) log_times[b] -= effects[b] - shift;
}

void estimate_deviation(BlockEffects& fit, size_t blocks) {
  std::vector<double> residuals;
  size_t parameters = blocks;
  for (size_t c = 0; c < fit.median.size(); ++c) {
    const size_t before = residuals.size();
    for (const double log_time : fit.log_time[c])
      if (!std::isnan(log_time)) residuals.push_back(std::abs(log_time - fit.median[c]));
    parameters += residuals.size() > before;
  }
  if (residuals.size() + 1 <= parameters) return;
  const auto count = static_cast<double>(residuals.size());
  fit.freedom = count - static_cast<double>(parameters) + 1;
  fit.deviation = kSigmaPerMad * median(std::move(residuals)) * std::sqrt(count / fit.freedom);
}

}  // namespace

BlockEffects fit_block_effects(const Series& series, int min_blocks) {
  const size_t candidates = series.candidates.size(), blocks = series.blocks();
  BlockEffects fit{.log_time = {}, .median = std::vector<double>(candidates, 0.0)};
  for (const CandidateTimes& candidate : series.candidates) {
    auto& logs = fit.log_time.emplace_back(candidate.time);
    for (double& time : logs) time = std::log(time);
    if (timed(logs) < min_blocks) std::ranges::fill(logs, kNotTimed);
  }
  fit_candidates(fit);
  if (candidates < 2 || blocks < 2) return fit;
  // The first round comes within the noise; the others settle blocks that only some candidates have.
  for (int round = 0; round < 3; ++round) {
    subtract_blocks(fit);
    fit_candidates(fit);
  }
  estimate_deviation(fit, blocks);
  return fit;
}

double autocorrelation(const std::vector<BlockEffects>& all) {
  constexpr std::ptrdiff_t kMinBlocks = 8;  // each short series biases the estimate by −1/n
  LagOneSums sums;
  std::vector<double> residuals;
  for (const BlockEffects& fit : all) {
    if (fit.deviation <= 0) continue;
    for (size_t c = 0; c < fit.log_time.size(); ++c) {
      if (timed(fit.log_time[c]) < kMinBlocks) continue;
      residuals.clear();
      for (const double log_time : fit.log_time[c])
        residuals.push_back(std::clamp((log_time - fit.median[c]) / fit.deviation, -3.0, 3.0));
      sums.add(residuals);
    }
  }
  return sums.squares_of_firsts > 0 ? std::clamp(sums.products / sums.squares_of_firsts, 0.0, 0.9) : 0;
}

}  // namespace metallic::tune
