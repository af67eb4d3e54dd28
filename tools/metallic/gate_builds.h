// Two builds against each other: each in a process of its own, timed in random order, block after block.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tuner/bench/bench_client.h"
#include "tuner/bench/operands.h"
#include "tuner/workloads/weighted_problems.h"
#include "tuner/regression/recorded_samples.h"

namespace metallic::cli {

/// So many rounds of blocks a process times before another takes its place.
inline constexpr size_t kRoundsOfAProcess = 15;

struct BuildPair {
  SharedMemory memory;  ///< of the operands of both
  std::unique_ptr<BenchClient> base, head;
  std::vector<tune::GateBenchmark> benchmarks;  ///< with the kernel of base
  std::vector<tune::GateBenchmark> of_head;     ///< with head's, which seldom differs
  std::vector<std::string> notes;               ///< where it does, a line each
  uint64_t seed = 0;                            ///< of the inputs

  /// Makes both ready to time, in the order that a random number draws: who comes first may have another memory.
  Status open(uint64_t drawn);
  /// Ends both processes and starts new ones, ready to time.
  Status restart(uint64_t drawn);
};

/// Starts both and prepares them for each problem in each of `caches` (by operation as the sampler, where empty): the kernel is
/// what base chooses, in head too, so that a changed rule is not taken for a slower kernel; head's own choice where it lacks that
/// one. Inputs are random, equal on both sides by `seed`.
Result<BuildPair> start_builds(const std::string& base, const std::string& head, std::span<const WeightedProblem> problems,
                               std::span<const Cache> caches, uint64_t seed);

struct BlockOptions {
  double budget_s = 60;  ///< no round begins that would not fit, but for the least number of rounds
  size_t least_rounds = 15;
  size_t most_rounds = 480;
  uint64_t seed = 1;
  std::function<void(double share, const std::string& what)> progress;
};

/// Times rounds of blocks: a round visits every benchmark that `wants` more in random order, a block times base and head once
/// each, in random order, and `add` gets ln(t_head / t_base). Every kRoundsOfAProcess rounds both processes are replaced: where a
/// process' code and stacks lie makes it slower or faster for as long as it lives.
Status time_blocks(BuildPair& builds, const BlockOptions& options, const std::function<bool(size_t benchmark)>& wants,
                   const std::function<void(size_t benchmark, double difference)>& add);

}  // namespace metallic::cli
