// A campaign: a budget's worth of blocks. Ties what times (the sampler) to what knows where samples are worth most (the
// allocation), and keeps every block in the checkpoint.
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
  double seconds = 0;            ///< of measuring, earlier runs included
  double expected_residual = 1;  ///< what the best-looking candidates would lose on average, see tuner/fit/allocation.h
  bool interrupted = false;      ///< by Ctrl-C
  /// ns of moving what each problem must and no more, by label, dtype and cache; where the device has a kernel that does.
  std::map<std::tuple<std::string, std::string, std::string>, double> floors;
};

/// Says on stderr what other programs did to a campaign, if they did.
void print_noise(const TuningRun& sampled);

/// Times the problems' candidates until the budget ends, the allocation has enough, or Ctrl-C. A budget too short for two blocks
/// of each problem is exceeded for these by 5 s at most. With a checkpoint every block is kept
/// there, and what is in it from an earlier run of the same problems counts, its time too.
/// Errors: those of the sampler; a checkpoint of other problems, of another device or build.
Result<TuningRun> run_tuning(std::span<const WeightedProblem> problems, Context& context, const SampleOptions& options,
                             tune::AllocationOptions allocation, Checkpoint* checkpoint = nullptr);

}  // namespace metallic::cli
