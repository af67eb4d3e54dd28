// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/allocation.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>

#include "tuner/stats/quantile.h"

namespace metallic::tune {

double expected_loss(double worse_by, double error) {
  if (!(error > 0)) return 0;
  const boost::math::normal normal;
  const double z = worse_by / error;
  return error * (boost::math::pdf(normal, z) - z * boost::math::cdf(boost::math::complement(normal, z)));
}

Allocation::Allocation(std::vector<Series> series, std::vector<double> seconds, const AllocationOptions& options)
    : series_(std::move(series)), options_(options) {
  double weights = 0;
  for (const Series& each : series_) weights += each.weight;
  for (size_t i = 0; i < series_.size(); ++i) {
    const double even = 1 / static_cast<double>(series_.size());
    states_.push_back({.share = weights > 0 ? (series_[i].weight / weights + even) / 2 : even,
                       .seconds = seconds[i],
                       .live = std::vector<bool>(series_[i].candidates.size(), true),
                       .effects = {}});
  }
}

// The deviation of a series, shrunk towards the common one with the weight of four degrees of freedom.
double Allocation::deviation(const State& state) const {
  constexpr double kPrior = 4;
  const double own = state.effects.deviation, freedom = own > 0 ? state.effects.freedom : 0;
  return std::sqrt((kPrior * common_deviation_ * common_deviation_ + freedom * own * own) / (kPrior + freedom));
}

void Allocation::update(size_t index) {
  State& state = states_[index];
  const Series& series = series_[index];
  state.effects = fit_block_effects(series);
  const auto& medians = state.effects.median;
  size_t leader = 0;
  for (size_t arm = 1; arm < medians.size(); ++arm)
    if (medians[arm] < medians[leader] || std::isnan(medians[leader])) leader = arm;
  const auto count = [&](size_t arm) { return static_cast<double>(series.candidates[arm].timed_blocks()); };
  constexpr double kMedian = 1.2533;  // a median's standard error over a mean's, for normal noise
  state.live[leader] = true;          // it may have been dropped on too few blocks
  state.loss = 0;
  for (size_t arm = 0; arm < medians.size(); ++arm) {
    if (arm == leader || std::isnan(medians[arm])) continue;
    const double worse_by = medians[arm] - medians[leader];
    const double error = kMedian * deviation(state) * std::sqrt(1 / count(arm) + 1 / count(leader));
    if (state.live[arm]) state.loss += expected_loss(worse_by, error);
    const bool dominated = state.blocks >= 3 && worse_by > std::max(options_.dominated, 4 * error);
    const bool hopeless = state.blocks >= 2 && worse_by > std::log(options_.hopeless);
    if (hopeless || (options_.adaptive && dominated)) state.live[arm] = false;
  }
}

void Allocation::add(size_t index, const std::vector<double>& times, double seconds) {
  State& state = states_[index];
  for (size_t arm = 0; arm < times.size(); ++arm) series_[index].candidates[arm].time.push_back(times[arm]);
  // The first block of a series includes the checks of its results.
  state.seconds = state.blocks == 0 ? seconds : state.blocks == 1 ? seconds : 0.7 * state.seconds + 0.3 * seconds;
  const bool screened = ++state.blocks > 2;
  if (screened) (series_[index].weight == 0 ? audited_s_ : adaptive_s_) += seconds;
  update(index);
  std::vector<double> deviations;
  for (const State& each : states_)
    if (each.blocks >= 3 && each.effects.deviation > 0) deviations.push_back(each.effects.deviation);
  if (deviations.size() >= 5) common_deviation_ = median(std::move(deviations));
}

std::optional<size_t> Allocation::pick(double left_s, bool audit) const {
  std::optional<size_t> best;
  double most = 0;
  size_t fewest = std::numeric_limits<size_t>::max();
  const auto fits = [&](size_t i) {
    return states_[i].seconds <= left_s || (states_[i].blocks < 2 && (series_[i].weight > 0 || !options_.adaptive));
  };
  for (size_t i = 0; i < states_.size(); ++i)
    if (fits(i)) fewest = std::min(fewest, states_[i].blocks);
  const bool screening = fewest < 2 || !options_.adaptive;
  for (size_t i = 0; i < states_.size(); ++i) {
    const State& state = states_[i];
    if (!fits(i) || state.blocks >= static_cast<size_t>(options_.most_blocks)) continue;
    if (screening ? state.blocks != fewest : audit && series_[i].weight > 0) continue;
    const auto blocks = static_cast<double>(std::max<size_t>(state.blocks, 1));
    // One more block narrows the error by 1/(2n).
    const bool few = state.blocks < static_cast<size_t>(options_.least_blocks);
    const double gain = screening ? state.share : state.share * (state.loss / (2 * blocks) + (few ? 0.01 : 0));
    if (const double rate = gain / std::max(state.seconds, 1e-6); rate > most) most = rate, best = i;
  }
  return best;
}

std::optional<Allocation::Turn> Allocation::next(double left_s) {
  const bool all_have_enough = std::ranges::all_of(
      states_, [&](const State& state) { return state.blocks >= static_cast<size_t>(options_.least_blocks); });
  if (options_.adaptive && all_have_enough && expected_residual() < options_.enough) return std::nullopt;
  std::optional<size_t> found;
  if (options_.adaptive && audited_s_ < options_.audit * (audited_s_ + adaptive_s_)) found = pick(left_s, /*audit=*/true);
  if (!found) found = pick(left_s, /*audit=*/false);
  if (!found) return std::nullopt;
  return Turn{*found, states_[*found].live};
}

double Allocation::expected_residual() const {
  double sum = 0;
  for (size_t i = 0; i < states_.size(); ++i) sum += expected_residual(i);
  return std::min(sum, 1.0);
}

double Allocation::expected_residual(size_t series) const {
  const State& state = states_[series];
  return state.share * (state.blocks < 2 ? 1 : state.loss);
}

}  // namespace metallic::tune
