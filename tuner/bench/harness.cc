#include "tuner/bench/harness.h"

#include <algorithm>

#include "tuner/bench/noise_monitor.h"
#include "tuner/bench/clock.h"
#include "tuner/bench/cold_cache.h"
#include "tuner/bench/timer.h"

namespace metallic {
namespace {

class CpuStand final : public Stand {
 public:
  CpuStand(Operands operands, Executor& executor, const StandOptions& options)
      : operands_(std::move(operands)),
        executor_(executor),
        seed_(options.seed),
        timer_(operands_, executor, options.arm_s > 0 ? options.arm_s : arm_seconds(measure_clock())),
        watch_(executor) {}

  void align(uint64_t drawn) override { operands_.align(drawn); }
  void before_block() override { watch_.before_block(); }
  Result<double> checked_call(const Problem& problem, Cache cache, const Kernel& kernel, std::string_view who) override {
    return metallic::checked_call(problem, cache, kernel, who, operands_, executor_, seed_);
  }
  Result<std::pair<double, int64_t>> time(const Problem& problem, Cache cache, const Kernel& kernel, double call_s) override {
    return timer_.time(problem, cache, kernel, call_s);
  }
  NoiseRecord noise() const override { return watch_.record(); }

 private:
  Operands operands_;
  Executor& executor_;
  uint64_t seed_;
  Timer timer_;
  Watch watch_;
};

}  // namespace

Result<std::unique_ptr<Stand>> make_stand(std::span<const OperandUse> uses, const DeviceInfo& device, Executor& executor,
                                          const StandOptions& options) {
  if (device.backend == "cuda") return cuda::make_stand(uses, device, executor, options);
  const bool cold = std::ranges::any_of(uses, [](const OperandUse& use) { return use.cache == Cache::cold; });
  METALLIC_TRY(Operands operands,
               Operands::create(uses, device, cold ? measure_cold_bytes(device, executor).bytes : 0, options.seed));
  return std::make_unique<CpuStand>(std::move(operands), executor, options);
}

}  // namespace metallic
