// Clocks: how fast a GPU runs at the moment and what slows it, as the driver's management library (NVML) says.
#pragma once

#include <cstdint>
#include <optional>

#include "device/info.h"

namespace metallic::cuda {

/// Reasons for a clock below the highest, as bits of NVML's.
inline constexpr uint64_t kIdle = 0x1, kPowerCap = 0x4, kHardwareSlowdown = 0x8, kHeat = 0x20, kHardwareHeat = 0x40,
                          kPowerBrake = 0x80;

struct ClockReading {
  int64_t mhz = 0;       ///< of the multiprocessors
  uint64_t reasons = 0;  ///< bits, some of which are named above
  int64_t celsius = 0;   ///< 0: not known
};

/// Reads one GPU's; a reading takes 5 µs (H200, driver 580) and needs nothing of the GPU's.
class Clocks {
 public:
  /// Nothing where NVML is not there or does not know the device.
  static std::optional<Clocks> of(const DeviceInfo& device);

  std::optional<ClockReading> read() const;

 private:
  explicit Clocks(void* device) : device_(device) {}
  [[maybe_unused]] void* device_;  // NVML's handle; a build without CUDA has none
};

}  // namespace metallic::cuda
