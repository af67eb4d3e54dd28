// SPDX-License-Identifier: Apache-2.0
#include "tuner/regression/power.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <random>

#include "base/math.h"
#include "tuner/regression/gate.h"
#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/quantile.h"
#include "tuner/stats/signed_rank.h"

namespace metallic::tune {
namespace {

Proportion proportion(int count, int of) {
  using boost::math::binomial;
  return {count, of, binomial::find_lower_bound_on_p(of, count, 0.025), binomial::find_upper_bound_on_p(of, count, 0.025)};
}

class VirtualGates {
 public:
  VirtualGates(std::span<const std::vector<double>> blocks, size_t run, double tau, uint64_t seed)
      : blocks_(blocks), run_(run), tau_(tau), random_(seed) {}

  Gate draw(size_t slowed, double slowdown) {
    Gate gate(blocks_.size(), tau_);
    std::vector<double> signs(blocks_.size());
    std::vector<size_t> places(blocks_.size());
    for (size_t block = 0; block < kLooks.back().blocks; ++block)
      for (size_t b = 0; b < blocks_.size(); ++b) {
        const size_t size = blocks_[b].size(), runs = ceil_div(size, run_);
        if (block % run_ == 0) {
          places[b] = static_cast<size_t>(random_() % runs) * run_;
          signs[b] = random_() >> 63 != 0 ? 1 : -1;
        }
        gate.add(b, signs[b] * blocks_[b][(places[b] + block % run_) % size] + (b == slowed ? std::log1p(slowdown) : 0));
      }
    return gate;
  }

 private:
  std::span<const std::vector<double>> blocks_;
  size_t run_;
  double tau_;
  std::mt19937_64 random_;
};

Calibration::Benchmark noise_of(const std::vector<double>& blocks, size_t benchmarks, double slowdown) {
  using boost::math::complement;
  const boost::math::normal normal;
  const double sigma = kSigmaPerMad * median_absolute_deviation(blocks, median(blocks));
  const double rho = unbiased_rank_autocorrelation(blocks);
  const double scores = boost::math::quantile(complement(normal, kLooks.back().alpha / static_cast<double>(benchmarks))) +
                        boost::math::quantile(complement(normal, 0.05));
  // 3/π is the efficiency of the signed-rank test relative to the mean, for normal noise.
  const double needed = std::pow(scores * sigma / std::log1p(slowdown), 2) * variance_inflation(rho) * M_PI / 3;
  return {.estimate = hodges_lehmann(blocks, kTail).estimate,
          .sigma = sigma,
          .autocorrelation = rho,
          .blocks_needed = std::max(std::ceil(needed), static_cast<double>(kLeastBlocks))};
}

}  // namespace

Calibration calibrate(std::span<const std::vector<double>> blocks, size_t run, double tau, double slowdown, int gates,
                      uint64_t seed) {
  Calibration calibration{.slowdown = slowdown};
  VirtualGates virtual_gates(blocks, run, tau, seed);
  int alarms = 0, passes = 0, found = 0;
  for (int g = 0; g < gates; ++g) {
    const GateVerdict verdict = virtual_gates.draw(blocks.size(), 0).verdict();
    if (verdict == GateVerdict::fail) ++alarms;
    if (verdict == GateVerdict::pass) ++passes;
    const size_t slowed = static_cast<size_t>(g) % blocks.size();
    if (virtual_gates.draw(slowed, slowdown).assessments()[slowed].finding == Finding::slower) ++found;
  }
  calibration.alarms = proportion(alarms, gates);
  calibration.passes = proportion(passes, gates);
  calibration.found = proportion(found, gates);
  for (const auto& of_one : blocks) calibration.benchmarks.push_back(noise_of(of_one, blocks.size(), slowdown));
  return calibration;
}

}  // namespace metallic::tune
