// The laboratory: samples of cost surfaces whose truth is known, under the noise of real machines, and what rules really
// cost there.
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

struct Candidate {
  Choice choice;
  std::function<double(const Problem&)> time;  ///< the true one, ns
};

/// Candidates, the shapes that are tuned, and the denser grid between them on which rules are judged.
struct Surface {
  std::string name;
  std::vector<Candidate> candidates;
  std::vector<Problem> tuned;
  std::vector<Problem> dense;
  std::function<Choice(const Problem&)> default_choice;
  std::function<std::vector<Rule>(const RuleKey&)> default_rules;  ///< the same as rules, whose tunings are the variants' own

  double time(const Choice& choice, const Problem& problem) const {
    const auto at = std::ranges::find(candidates, choice, &Candidate::choice);
    return at == candidates.end() ? std::numeric_limits<double>::infinity() : at->time(problem);
  }
  double best(const Problem& problem) const {
    double best = std::numeric_limits<double>::infinity();
    for (const Candidate& candidate : candidates) best = std::min(best, candidate.time(problem));
    return best;
  }
};

enum class Tail {
  lognormal,
  outliers,  ///< one arm in thirty takes 2 to 10 times as long
  student,   ///< three degrees of freedom
};

/// What a machine does to times. All of it is multiplicative.
struct Noise {
  std::string name = "lognormal";
  double arm = 0.05;  ///< standard deviation of log time, or the scale of Student's t
  Tail tail = Tail::lognormal;
  double uneven = 1;       ///< a problem's noise is up to this many times as large or as small
  double correlation = 0;  ///< of an arm's noise from one block to the next
  double block = 0.1;      ///< disturbance that the arms of a block share: exp of it times |normal|
  double drift = 0;        ///< what all arms gain from the first block to the last, in log time
  double arm_drift = 0;    ///< what the first candidate alone gains
};

inline const std::vector<Noise>& noises() {
  static const std::vector<Noise> all = {{},
                                         {.name = "outliers", .tail = Tail::outliers},
                                         {.name = "student", .tail = Tail::student},
                                         {.name = "uneven", .uneven = 2},
                                         {.name = "autocorrelated", .correlation = 0.5},
                                         {.name = "drift", .drift = 0.5},
                                         {.name = "drift of one arm", .arm_drift = 0.05}};
  return all;
}

/// How the sampler goes about it.
struct Sampling {
  int blocks = 15;
  int spread = 0;       ///< a series has this many blocks more or fewer, by chance
  double hopeless = 4;  ///< a candidate this many times slower than the best after two blocks is timed no more
};

/// An arm's noise, block after block.
class ArmNoise {
 public:
  double next(const Noise& noise, std::mt19937_64& random) {
    const double fresh = noise.tail == Tail::student ? student_(random) : normal_(random);
    state_ = first_ ? fresh : noise.correlation * state_ + std::sqrt(1 - noise.correlation * noise.correlation) * fresh;
    first_ = false;
    const bool outlier = noise.tail == Tail::outliers && random() % 30 == 0;
    return noise.arm * state_ + (outlier ? std::log(std::uniform_real_distribution(2.0, 10.0)(random)) : 0);
  }

 private:
  std::normal_distribution<double> normal_;
  std::student_t_distribution<double> student_{3};
  double state_ = 0;
  bool first_ = true;
};

/// Rows as the sampler writes them: each block is a random order of the candidates that are still alive.
inline std::vector<SampleRow> simulate(const Surface& surface, const Noise& noise, const Sampling& sampling, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<SampleRow> rows;
  for (const Problem& problem : surface.tuned) {
    const int spread = sampling.spread == 0 ? 0 : std::uniform_int_distribution(-sampling.spread, sampling.spread)(random);
    const int blocks = std::max(1, sampling.blocks + spread);
    const double level = std::pow(noise.uneven, std::uniform_real_distribution(-1.0, 1.0)(random));
    std::vector<ArmNoise> own(surface.candidates.size());
    std::vector<double> least(surface.candidates.size(), std::numeric_limits<double>::infinity());
    std::vector<size_t> alive(surface.candidates.size());
    for (size_t i = 0; i < alive.size(); ++i) alive[i] = i;
    for (int block = 0; block < blocks; ++block) {
      const double elapsed = blocks > 1 ? static_cast<double>(block) / (blocks - 1) : 0;
      const double shared = noise.block * std::abs(normal(random)) + noise.drift * elapsed;
      std::ranges::shuffle(alive, random);
      for (size_t order = 0; order < alive.size(); ++order) {
        const size_t i = alive[order];
        const Candidate& candidate = surface.candidates[i];
        SampleRow row;
        row.variant = candidate.choice.variant;
        row.tuning = candidate.choice.tuning;
        row.parameters = label(problem);
        row.dtype = name(problem.dtype);
        row.threads = problem.threads;
        row.cache = "warm";
        row.device = "laboratory";
        row.block = block;
        row.order = static_cast<int64_t>(order);
        row.time_ns = candidate.time(problem) *
                      std::exp(shared + level * own[i].next(noise, random) + (i == 0 ? noise.arm_drift * elapsed : 0));
        least[i] = std::min(least[i], row.time_ns);
        rows.push_back(std::move(row));
      }
      if (block == 1) {
        const double best = *std::ranges::min_element(least);
        std::erase_if(alive, [&](size_t i) { return least[i] > sampling.hopeless * best; });
      }
    }
  }
  return rows;
}

inline Measurements measure(const Surface& surface, const Noise& noise, const Sampling& sampling, uint64_t seed) {
  auto measurements = from_samples(simulate(surface, noise, sampling, seed), "laboratory", 2);
  EXPECT_TRUE(measurements) << measurements.error().message;
  return measurements ? std::move(*measurements) : Measurements();
}

/// The one place where the laboratory sets options.
inline AnalysisOptions analysis_options(const Surface& surface) {
  AnalysisOptions options;
  options.bootstraps = 200;
  options.default_choice = surface.default_choice;
  options.default_rules = surface.default_rules;
  return options;
}

/// What runs a problem: the first rule that matches and has a candidate, else the built-in rules' choice. A rule without a
/// tuning leaves it to the variant, which prefers what the default takes of it, or else the first.
inline Choice decide(std::span<const RuleList> lists, const Surface& surface, const Problem& problem) {
  const RuleKey key = rule_key(problem, Numerics::fast);
  const Choice fallback = surface.default_choice(problem);
  for (const RuleList& list : lists) {
    if (list.key != key) continue;
    for (const Rule& rule : list.rules) {
      if (!matches(rule, problem)) continue;
      if (rule.tuning.empty() && rule.use == fallback.variant) return fallback;
      for (const Candidate& candidate : surface.candidates)
        if (candidate.choice.variant == rule.use && (rule.tuning.empty() || candidate.choice.tuning == rule.tuning))
          return candidate.choice;
    }
  }
  return fallback;
}

using Decision = std::function<Choice(const Problem&)>;

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
