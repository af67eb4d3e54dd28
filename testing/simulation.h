// SPDX-License-Identifier: Apache-2.0
// Simulation: samples of known cost surfaces under the noise of real machines, and the true cost of rules there.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "ops/label.h"
#include "tuner/fit/analysis.h"

namespace metallic::tune {

struct SimulatedKernel {
  KernelConfig config;
  std::function<double(const Problem&)> time;  ///< the true time in ns
};

/// A cost surface: candidates, the shapes that are tuned, and a denser grid on which rules are judged.
struct Surface {
  std::string name;
  std::vector<SimulatedKernel> candidates;
  std::vector<Problem> tuned;
  std::vector<Problem> dense;
  std::function<KernelConfig(const Problem&)> default_choice;
  std::function<std::vector<Rule>(const RuleKey&)> default_rules;  ///< the same as rules, without tunings

  double time(const KernelConfig& config, const Problem& problem) const {
    const auto at = std::ranges::find(candidates, config, &SimulatedKernel::config);
    return at == candidates.end() ? std::numeric_limits<double>::infinity() : at->time(problem);
  }
  double best(const Problem& problem) const {
    double best = std::numeric_limits<double>::infinity();
    for (const SimulatedKernel& candidate : candidates) best = std::min(best, candidate.time(problem));
    return best;
  }
};

enum class Tail {
  lognormal,
  outliers,  ///< one timing in thirty takes 2 to 10 times as long
  student,   ///< three degrees of freedom
};

/// The noise of a machine, all of it multiplicative.
struct Noise {
  std::string name = "lognormal";
  double own = 0.05;  ///< of one timing: standard deviation of log time, or the scale of Student's t
  Tail tail = Tail::lognormal;
  double uneven = 1;       ///< factor by which a problem's noise is at most larger or smaller
  double correlation = 0;  ///< of a candidate's noise from one block to the next
  double block = 0.1;      ///< shared by the candidates of a block: exp of it times |normal|
  double drift = 0;        ///< of all candidates from the first block to the last, in log time
  double own_drift = 0;    ///< of the first candidate alone
};

inline const std::vector<Noise>& noises() {
  static const std::vector<Noise> all = {{},
                                         {.name = "outliers", .tail = Tail::outliers},
                                         {.name = "student", .tail = Tail::student},
                                         {.name = "uneven", .uneven = 2},
                                         {.name = "autocorrelated", .correlation = 0.5},
                                         {.name = "drift", .drift = 0.5},
                                         {.name = "drift of one candidate", .own_drift = 0.05}};
  return all;
}

/// The settings of the simulated sampler.
struct Sampling {
  int blocks = 15;
  int spread = 0;       ///< the number of blocks of a series varies by this many, at random
  double hopeless = 4;  ///< a candidate this many times slower than the best after two blocks is dropped
};

/// The noise of one candidate, block by block.
class CandidateNoise {
 public:
  double next(const Noise& noise, std::mt19937_64& random) {
    const double fresh = noise.tail == Tail::student ? student_(random) : normal_(random);
    state_ = first_ ? fresh : noise.correlation * state_ + std::sqrt(1 - noise.correlation * noise.correlation) * fresh;
    first_ = false;
    const bool outlier = noise.tail == Tail::outliers && random() % 30 == 0;
    return noise.own * state_ + (outlier ? std::log(std::uniform_real_distribution(2.0, 10.0)(random)) : 0);
  }

 private:
  std::normal_distribution<double> normal_;
  std::student_t_distribution<double> student_{3};
  double state_ = 0;
  bool first_ = true;
};

/// Rows as the sampler writes them: each block times the live candidates in random order.
inline std::vector<SampleRow> simulate(const Surface& surface, const Noise& noise, const Sampling& sampling, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<SampleRow> rows;
  for (const Problem& problem : surface.tuned) {
    const int spread = sampling.spread == 0 ? 0 : std::uniform_int_distribution(-sampling.spread, sampling.spread)(random);
    const int blocks = std::max(1, sampling.blocks + spread);
    const double level = std::pow(noise.uneven, std::uniform_real_distribution(-1.0, 1.0)(random));
    std::vector<CandidateNoise> own(surface.candidates.size());
    std::vector<double> least(surface.candidates.size(), std::numeric_limits<double>::infinity());
    std::vector<size_t> live(surface.candidates.size());
    for (size_t i = 0; i < live.size(); ++i) live[i] = i;
    for (int block = 0; block < blocks; ++block) {
      const double elapsed = blocks > 1 ? static_cast<double>(block) / (blocks - 1) : 0;
      const double shared = noise.block * std::abs(normal(random)) + noise.drift * elapsed;
      std::ranges::shuffle(live, random);
      for (size_t order = 0; order < live.size(); ++order) {
        const size_t i = live[order];
        const SimulatedKernel& candidate = surface.candidates[i];
        SampleRow row;
        row.variant = candidate.config.variant;
        row.tuning = candidate.config.tuning;
        row.parameters = label(problem);
        row.dtype = name(problem.dtype);
        row.threads = problem.threads;
        row.cache = "warm";
        row.device = "simulation";
        row.block = block;
        row.order = static_cast<int64_t>(order);
        row.time_ns = candidate.time(problem) *
                      std::exp(shared + level * own[i].next(noise, random) + (i == 0 ? noise.own_drift * elapsed : 0));
        least[i] = std::min(least[i], row.time_ns);
        rows.push_back(std::move(row));
      }
      if (block == 1) {
        const double best = *std::ranges::min_element(least);
        std::erase_if(live, [&](size_t i) { return least[i] > sampling.hopeless * best; });
      }
    }
  }
  return rows;
}

inline Measurements measure(const Surface& surface, const Noise& noise, const Sampling& sampling, uint64_t seed) {
  auto measurements = from_samples(simulate(surface, noise, sampling, seed), "simulation", 2);
  EXPECT_TRUE(measurements) << measurements.error().message;
  return measurements ? std::move(*measurements) : Measurements();
}

/// The options of all simulations.
inline AnalysisOptions analysis_options(const Surface& surface) {
  AnalysisOptions options;
  options.bootstraps = 200;
  options.default_choice = surface.default_choice;
  options.default_rules = surface.default_rules;
  return options;
}

/// The config that runs a problem: that of the first rule that matches and has a candidate, else the built-in choice. A rule
/// without a tuning takes that of the built-in choice, if it is of the same variant, else the first candidate of its variant.
inline KernelConfig decide(std::span<const RuleList> lists, const Surface& surface, const Problem& problem) {
  const RuleKey key = rule_key(problem, Numerics::fast);
  const KernelConfig fallback = surface.default_choice(problem);
  for (const RuleList& list : lists) {
    if (list.key != key) continue;
    for (const Rule& rule : list.rules) {
      if (!matches(rule, problem)) continue;
      if (rule.tuning.empty() && rule.use == fallback.variant) return fallback;
      for (const SimulatedKernel& candidate : surface.candidates)
        if (candidate.config.variant == rule.use && (rule.tuning.empty() || candidate.config.tuning == rule.tuning))
          return candidate.config;
    }
  }
  return fallback;
}

using Decision = std::function<KernelConfig(const Problem&)>;

/// The mean of time / best − 1 over problems: no noise in it.
inline double true_regret(const Surface& surface, std::span<const Problem> problems, const Decision& decision) {
  double sum = 0;
  for (const Problem& problem : problems) sum += surface.time(decision(problem), problem) / surface.best(problem) - 1;
  return sum / static_cast<double>(problems.size());
}

inline double true_regret(const Surface& surface, std::span<const RuleList> lists) {
  return true_regret(surface, surface.dense, [&](const Problem& p) { return decide(lists, surface, p); });
}

inline double default_regret(const Surface& surface) { return true_regret(surface, surface.dense, surface.default_choice); }

}  // namespace metallic::tune
