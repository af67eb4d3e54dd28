// SPDX-License-Identifier: Apache-2.0
// The harness of the CPU; CUDA devices have their own in cuda_harness.cc.
#include "tuner/bench/harness.h"

#include <algorithm>

#include "tuner/bench/clock.h"
#include "tuner/bench/cold_cache.h"
#include "tuner/bench/noise_monitor.h"
#include "tuner/bench/timer.h"

namespace metallic {
namespace {

class CpuHarness final : public Harness {
 public:
  CpuHarness(Operands operands, Executor& executor, const HarnessOptions& options)
      : operands_(std::move(operands)),
        executor_(executor),
        seed_(options.seed),
        timer_(operands_, executor, options.min_sample_s > 0 ? options.min_sample_s : min_sample_seconds(measure_clock())),
        noise_monitor_(executor) {}

  void align(uint64_t random) override { operands_.align(random); }
  void before_block() override { noise_monitor_.before_block(); }
  Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who) override {
    return metallic::checked_call(problem, cache, kernel, who, operands_, executor_, seed_);
  }
  Result<std::pair<double, int64_t>> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) override {
    return timer_.time(problem, cache, kernel, call_s);
  }
  NoiseRecord noise() const override { return noise_monitor_.record(); }

 private:
  Operands operands_;
  Executor& executor_;
  uint64_t seed_;
  Timer timer_;
  NoiseMonitor noise_monitor_;
};

}  // namespace

Result<std::unique_ptr<Harness>> make_harness(std::span<const OperandUse> uses, const DeviceInfo& device, Executor& executor,
                                              const HarnessOptions& options) {
  if (device.backend == "cuda") return cuda::make_harness(uses, device, executor, options);
  const bool cold = std::ranges::any_of(uses, [](const OperandUse& use) { return use.cache == Cache::cold; });
  METALLIC_TRY(Operands operands,
               Operands::create(uses, device, cold ? measure_cold_bytes(device, executor).bytes : 0, options.seed));
  return std::make_unique<CpuHarness>(std::move(operands), executor, options);
}

}  // namespace metallic
