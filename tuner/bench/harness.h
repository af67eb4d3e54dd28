// A stand: what one device's kernels are checked and timed on: its operands, its clock, and what it knows of its calm.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "device/info.h"
#include "base/executor.h"
#include "profile/noise.h"
#include "tuner/bench/operands.h"

namespace metallic {

class Harness {
 public:
  virtual ~Harness() = default;

  /// Draws where operands begin from now on, see Operands.
  virtual void align(uint64_t drawn) = 0;

  /// Before a block: waits a little where the machine is disturbed, see calm.h.
  virtual void before_block() = 0;

  /// Runs a kernel once and compares its result with the oracle's; gives a first estimate of a call's seconds. `who` is the
  /// variant in errors: a failed run, a wrong result.
  virtual Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who) = 0;

  /// Seconds of one call, the mean over as many as the clock needs, and how many these were. `call_s` is what one call takes as
  /// far as is known, > 0. Errors: a run that failed, where that is noticed.
  virtual Result<std::pair<double, int64_t>> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) = 0;

  /// Seconds of moving what a problem must and nothing else, by the same clock in the same cache state; nothing where the device
  /// has no kernel that does. Errors: those of the device.
  virtual Result<std::optional<double>> floor(const Problem&, Cache) { return std::nullopt; }

  virtual NoiseRecord noise() const = 0;
};

struct HarnessOptions {
  uint64_t seed = 1;
  double min_sample_s = 0;  ///< how long an arm runs at least; 0: what the device's clock needs
};

/// The stand of the device that the executor is of, which must outlive it. Errors: more operands than it has memory for.
Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceFacts& facts, Executor& executor,
                                          const HarnessOptions& options);

namespace cuda {
/// The same of a CUDA device.
Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceFacts& facts, Executor& executor,
                                          const HarnessOptions& options);
}  // namespace cuda

}  // namespace metallic
