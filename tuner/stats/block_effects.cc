#include "tuner/stats/block_effects.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tuner/stats/statistics.h"

namespace metallic::tune {

namespace {

// The mean rest of each block's arms, the rests beyond three deviations from their median cut. A median of few arms would be one
// arm's own rest: that arm's time would become its mean over all blocks, and halves of the blocks would know of each other.
std::vector<double> block_effects(const Effects& found) {
  const size_t arms = found.middle.size(), blocks = found.log_time.front().size();
  std::vector<std::vector<double>> rests(blocks);
  std::vector<double> middles(blocks, 0), deviations;
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t a = 0; a < arms; ++a)
      if (const double rest = found.log_time[a][b] - found.middle[a]; !std::isnan(rest)) rests[b].push_back(rest);
    if (rests[b].empty()) continue;
    middles[b] = median(rests[b]);
    // An odd one out of a block's arms is its median: that it does not deviate from itself says nothing.
    for (const double rest : rests[b])
      if (rest != middles[b]) deviations.push_back(std::abs(rest - middles[b]));
  }
  const double reach = deviations.empty() ? 0 : 3 * 1.4826 * median(std::move(deviations));
  std::vector<double> effects(blocks, 0);
  for (size_t b = 0; b < blocks; ++b)
    for (const double rest : rests[b])
      effects[b] += std::clamp(rest, middles[b] - reach, middles[b] + reach) / static_cast<double>(rests[b].size());
  return effects;
}

}  // namespace

Effects effects(const Series& series, int least) {
  const size_t arms = series.arms.size(), blocks = series.blocks();
  Effects found{.log_time = {}, .middle = std::vector<double>(arms, 0.0)};
  for (const Arm& arm : series.arms) {
    auto& logs = found.log_time.emplace_back(arm.time);
    for (double& time : logs) time = std::log(time);
    if (std::ranges::count_if(logs, [](double time) { return !std::isnan(time); }) < least)
      std::ranges::fill(logs, std::numeric_limits<double>::quiet_NaN());
  }
  const auto fit_arms = [&] {
    for (size_t a = 0; a < arms; ++a) found.middle[a] = median(found.log_time[a]);
  };
  fit_arms();
  // Three rounds: the first gets within the noise, the others settle blocks that only some arms have.
  for (int round = 0; round < 3 && arms > 1 && blocks > 1; ++round) {
    std::vector<double> block = block_effects(found);
    const double shift = median(block);  // block effects say what differs between blocks, not how long anything takes
    for (size_t b = 0; b < blocks; ++b)
      for (size_t a = 0; a < arms; ++a) found.log_time[a][b] -= block[b] - shift;
    fit_arms();
  }

  std::vector<double> rests;
  size_t fitted = blocks;
  for (size_t a = 0; a < arms; ++a) {
    const size_t before = rests.size();
    for (const double log_time : found.log_time[a])
      if (!std::isnan(log_time)) rests.push_back(std::abs(log_time - found.middle[a]));
    fitted += rests.size() > before;
  }
  const auto count = static_cast<double>(rests.size());
  if (arms > 1 && blocks > 1 && rests.size() + 1 > fitted) {
    found.freedom = count - static_cast<double>(fitted) + 1;
    found.deviation = 1.4826 * median(std::move(rests)) * std::sqrt(count / found.freedom);
  }
  return found;
}

double autocorrelation(const std::vector<Effects>& all) {
  double products = 0, squares = 0;
  for (const Effects& one : all)
    for (size_t a = 0; a < one.log_time.size(); ++a) {
      const auto& logs = one.log_time[a];
      // Short series bias the estimate by −1/n each.
      if (std::ranges::count_if(logs, [](double x) { return !std::isnan(x); }) < 8 || one.deviation <= 0) continue;
      const auto rest = [&](size_t b) { return std::clamp((logs[b] - one.middle[a]) / one.deviation, -3.0, 3.0); };
      for (size_t b = 0; b + 1 < logs.size(); ++b)
        if (!std::isnan(logs[b]) && !std::isnan(logs[b + 1])) products += rest(b) * rest(b + 1), squares += rest(b) * rest(b);
    }
  return squares > 0 ? std::clamp(products / squares, 0.0, 0.9) : 0;
}

}  // namespace metallic::tune
