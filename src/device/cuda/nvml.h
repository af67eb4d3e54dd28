// SPDX-License-Identifier: Apache-2.0
// The SM clock of a GPU and the reasons for throttling, from NVML, the management library of the driver.
#pragma once

#include <cstdint>
#include <optional>

#include "device/info.h"

namespace metallic::cuda {

/// Throttle reasons, bits of nvmlClocksThrottleReasons.
inline constexpr uint64_t kGpuIdle = 0x1, kSwPowerCap = 0x4, kHwSlowdown = 0x8, kSwThermalSlowdown = 0x20,
                          kHwThermalSlowdown = 0x40, kHwPowerBrakeSlowdown = 0x80;

struct ClockReading {
  int64_t mhz = 0;       ///< SM clock
  uint64_t reasons = 0;  ///< throttle reasons
  int64_t celsius = 0;   ///< 0: unknown
};

/// Reads one GPU. A reading takes 5 µs (H200, driver 580) and does not disturb kernels.
class GpuClock {
 public:
  /// Nothing if NVML is missing or does not know the device.
  static std::optional<GpuClock> open(const DeviceInfo& device);

  std::optional<ClockReading> read() const;

 private:
  explicit GpuClock(void* device) : device_(device) {}
  [[maybe_unused]] void* device_;  // nvmlDevice_t; unused in a build without CUDA
};

}  // namespace metallic::cuda
