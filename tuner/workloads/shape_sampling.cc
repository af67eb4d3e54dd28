// SPDX-License-Identifier: Apache-2.0
// Grids and random shapes for each operation.
#include "tuner/workloads/shape_sampling.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "ops/label.h"
#include "tuner/operation/operation.h"

namespace metallic {
namespace {

constexpr int64_t kMostSampledElements = int64_t{1} << 24;
constexpr double kMostSampledFlops = 1 << 29;

// Collects new shapes, each once, that are within the cost limits.
class SampledShapes {
 public:
  explicit SampledShapes(std::span<const WeightedProblem> known) {
    for (const WeightedProblem& each : known) seen_.insert(label(each.problem));
  }
  void add(const Problem& problem, const char* role) {
    if (work(problem).flops > kMostSampledFlops || std::ranges::max(operand_bytes(problem)) > 4 * kMostSampledElements) return;
    if (seen_.insert(label(problem)).second) found_.push_back({.problem = problem, .weight = 0, .role = role});
  }
  std::vector<WeightedProblem> take() { return std::move(found_); }

 private:
  std::set<std::string> seen_;
  std::vector<WeightedProblem> found_;
};

LogUniform log_uniform(uint64_t seed) {
  return [generator = std::mt19937_64(seed)](double low, double high) mutable {
    return static_cast<int64_t>(std::lround(std::exp(std::uniform_real_distribution(std::log(low), std::log(high))(generator))));
  };
}

bool is_masked(const Problem& problem) { return tuner_operation(problem.op()).is_masked(problem); }

}  // namespace

std::vector<WeightedProblem> sample_shapes(std::span<const WeightedProblem> problems, int random_count, uint64_t seed) {
  std::vector<WeightedProblem> found;
  std::map<std::tuple<Op, DType, bool>, const Problem*> kinds;  // the first problem of each
  for (const WeightedProblem& each : problems)
    kinds.try_emplace({each.problem.op(), each.problem.dtype, is_masked(each.problem)}, &each.problem);
  for (const auto& [kind, first] : kinds) {
    SampledShapes shapes(problems);
    tuner_operation(first->op())
        .sample(
            *first, random_count, [&](const Problem& problem, const char* role) { shapes.add(problem, role); },
            log_uniform(seed));
    for (WeightedProblem& each : shapes.take()) {
      each.problem = with_dtype(each.problem, first->dtype);
      found.push_back(std::move(each));
    }
  }
  return found;
}

std::vector<WeightedProblem> sample_held_out_shapes(std::span<const WeightedProblem> problems, size_t count, uint64_t seed) {
  std::vector<WeightedProblem> drawn = sample_shapes(problems, 4 * static_cast<int>(count), seed);
  std::erase_if(drawn, [](const WeightedProblem& each) { return each.role != "drawn"; });
  std::map<std::pair<Op, bool>, std::vector<std::string>> labels;
  for (const WeightedProblem& each : drawn) {
    auto& of_kind = labels[{each.problem.op(), is_masked(each.problem)}];
    if (const std::string one = label(each.problem); std::ranges::find(of_kind, one) == of_kind.end()) of_kind.push_back(one);
  }
  std::mt19937_64 random(seed);
  for (auto& [kind, of_kind] : labels) std::ranges::shuffle(of_kind, random);
  std::set<std::string> wanted;
  for (size_t round = 0; wanted.size() < count; ++round) {
    const size_t before = wanted.size();
    for (const auto& [kind, of_kind] : labels)
      if (round < of_kind.size() && wanted.size() < count) wanted.insert(of_kind[round]);
    if (wanted.size() == before) break;
  }
  std::erase_if(drawn, [&](const WeightedProblem& each) { return !wanted.contains(label(each.problem)); });
  return drawn;
}

}  // namespace metallic
