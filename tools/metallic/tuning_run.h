// SPDX-License-Identifier: Apache-2.0
// Tuning run: measures blocks until a budget ends, where the allocation asks for them, and stores them in a checkpoint.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "tools/metallic/checkpoint.h"
#include "tools/metallic/pipeline.h"
#include "tuner/fit/allocation.h"

namespace metallic::cli {

struct TuningRun {
  std::vector<SampleRow> rows;
  NoiseRecord noise;
  double seconds = 0;            ///< of measuring, including resumed runs
  double expected_residual = 1;  ///< mean regret of the apparent best candidates, see tuner/fit/allocation.h
  bool interrupted = false;      ///< by Ctrl-C
  /// ns of moving the bytes of each problem, by label, dtype and cache, if the device has a kernel for that.
  std::map<std::tuple<std::string, std::string, std::string>, double> rooflines_ns;
};

/// Prints to stderr how the machine was disturbed during a run, if it was.
void print_noise(const TuningRun& sampled);

/// Times the candidates of the problems until the budget ends, the allocation has enough, or Ctrl-C. If the budget is too short
/// for two blocks of each problem, it is exceeded by 5 s at most. A checkpoint stores every block; the blocks that it already
/// has, and their time, count for this run. Errors: those of the sampler; a checkpoint of other problems, another device or
/// another build.
Result<TuningRun> run_tuning(std::span<const WeightedProblem> problems, Context& context, const SampleOptions& options,
                             tune::AllocationOptions allocation, Checkpoint* checkpoint = nullptr);

}  // namespace metallic::cli
