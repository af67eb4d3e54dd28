// SPDX-License-Identifier: Apache-2.0
// Harness: checks and times the kernels of one device, with its operands, its clock and its noise monitor.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/executor.h"
#include "device/info.h"
#include "profile/noise.h"
#include "tuner/bench/operands.h"

namespace metallic {

class Harness {
 public:
  virtual ~Harness() = default;

  /// Chooses new operand addresses by a random number, see Operands.
  virtual void align(uint64_t random) = 0;

  /// Call before each block: waits a little if the machine is disturbed, see noise_monitor.h.
  virtual void before_block() = 0;

  /// Runs a kernel once and compares the result with the oracle. Returns a first estimate of the seconds of a call. `who` names
  /// the variant in errors: a failed run, a wrong result.
  virtual Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who) = 0;

  /// Seconds of one call, the mean over as many calls as the clock needs, and the number of calls. `call_s` > 0 is the estimate
  /// so far of one call. Errors: a failed run, if the device reports it.
  virtual Result<std::pair<double, int64_t>> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) = 0;

  /// Seconds of a kernel that only moves the bytes a problem must move, by the same clock and in the same cache state: the memory
  /// roofline. Nothing if the device has no such kernel. Errors: those of the device.
  virtual Result<std::optional<double>> roofline_s(const Problem&, Cache) { return std::nullopt; }

  virtual NoiseRecord noise() const = 0;
};

struct HarnessOptions {
  uint64_t seed = 1;
  double min_sample_s = 0;  ///< shortest sample in seconds; 0: as the device's clock needs
};

/// The harness of the executor's device. The executor must outlive it. Errors: out_of_memory if the operands do not fit.
Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceInfo& device, Executor& executor,
                                              const HarnessOptions& options);

namespace cuda {
/// The same for a CUDA device.
Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceInfo& device, Executor& executor,
                                              const HarnessOptions& options);
}  // namespace cuda

}  // namespace metallic
