// SPDX-License-Identifier: Apache-2.0
#include "tuner/bench/gpu_clock_monitor.h"

#include <algorithm>

#include "tuner/bench/clock.h"

namespace metallic {
namespace {

constexpr double kCycles = 1e5;  // of the reference workload; any number would do

}  // namespace

void GpuClockReadings::add(const cuda::ClockReading& reading) {
  if (reading.reasons & cuda::kGpuIdle) return;
  noise_.take(kCycles / (1e6 * static_cast<double>(reading.mhz)));
  readings_.push_back(reading);
}

NoiseRecord GpuClockReadings::record() const {
  NoiseRecord record = noise_.record();
  if (readings_.empty()) return record;
  std::vector<int64_t> mhz;
  for (const cuda::ClockReading& reading : readings_) mhz.push_back(reading.mhz);
  std::ranges::sort(mhz);
  const auto share = [&](uint64_t reasons) {
    const auto slowed = std::ranges::count_if(readings_, [&](const auto& reading) { return (reading.reasons & reasons) != 0; });
    return static_cast<double>(slowed) / static_cast<double>(readings_.size());
  };
  record.gpu = {.least_mhz = mhz.front(),
                .median_mhz = mhz[mhz.size() / 2],
                .most_mhz = mhz.back(),
                .most_celsius = std::ranges::max(readings_, {}, &cuda::ClockReading::celsius).celsius,
                .power_cap_share = share(cuda::kSwPowerCap),
                .heat_share = share(cuda::kSwThermalSlowdown | cuda::kHwThermalSlowdown),
                .hardware_share = share(cuda::kHwSlowdown | cuda::kHwPowerBrakeSlowdown)};
  return record;
}

GpuClockMonitor::GpuClockMonitor(const DeviceInfo& device) : clock_(cuda::GpuClock::open(device)), begin_s_(now_s()) {}

void GpuClockMonitor::sample() {
  const double begin = now_s();
  if (!clock_ || !NoiseReadings::affords_reading(begin - begin_s_, spent_s_)) return;
  if (const auto reading = clock_->read()) readings_.add(*reading);
  spent_s_ += now_s() - begin;
}

}  // namespace metallic
