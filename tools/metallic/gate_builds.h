// SPDX-License-Identifier: Apache-2.0
// Two builds as bench workers, timed in turn in random order.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tuner/bench/bench_client.h"
#include "tuner/bench/operands.h"
#include "tuner/regression/recorded_samples.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic::cli {

/// Rounds of blocks after which both workers are replaced.
inline constexpr size_t kRoundsPerWorker = 15;

struct BuildPair {
  SharedMemory memory;  ///< the operands of both
  std::unique_ptr<BenchClient> base, head;
  std::vector<tune::GateBenchmark> benchmarks;  ///< with the kernels of base
  std::vector<tune::GateBenchmark> of_head;     ///< with the kernels of head, usually the same
  std::vector<std::string> notes;               ///< one line for each kernel that differs
  uint64_t seed = 0;                            ///< of the inputs

  /// Prepares both for timing. A random number decides which goes first, since the order may affect their memory.
  Status open(uint64_t random);
  /// Replaces both workers by new ones and prepares them.
  Status restart(uint64_t random);
};

/// Starts both workers and prepares them for each problem in each of `caches` (empty: as the sampler). Both run the kernel that
/// base chooses, so that a changed rule does not look like a slower kernel; if head lacks it, head runs its own choice. Inputs
/// are random and equal on both sides, by `seed`.
Result<BuildPair> start_builds(const std::string& base, const std::string& head, std::span<const WeightedProblem> problems,
                               std::span<const Cache> caches, uint64_t seed);

struct BlockOptions {
  double budget_s = 60;  ///< after the minimum of rounds, no round starts that would exceed it
  size_t least_rounds = 15;
  size_t most_rounds = 480;
  uint64_t seed = 1;
  std::function<void(double share, const std::string& what)> progress;
};

/// Times rounds of blocks. A round visits each benchmark that `wants` more, in random order. A block times base and head once
/// each, in random order, and passes ln(t_head / t_base) to `add`. Every kRoundsPerWorker rounds both workers are replaced: the
/// addresses of code and stacks make a process slower or faster for its whole life.
Status time_blocks(BuildPair& builds, const BlockOptions& options, const std::function<bool(size_t benchmark)>& wants,
                   const std::function<void(size_t benchmark, double difference)>& add);

}  // namespace metallic::cli
