// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/nvml.h"

#ifdef METALLIC_WITH_CUDA
#include <cuda_runtime_api.h>

#include <array>
#include <cstdio>

#include "base/shared_library.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {

// The part of the C interface of NVML that is used here. It is declared by hand because every driver has the library, but the
// header comes in a package of its own.
constexpr int kNvmlSuccess = 0;
constexpr int kNvmlClockSm = 1;
constexpr int kNvmlTemperatureGpu = 0;

struct Nvml {
  int (*init)();
  int (*device_by_bus_id)(const char* pci_bus_id, void** device);
  int (*clock)(void* device, int which, unsigned* mhz);
  int (*reasons)(void* device, unsigned long long* bits);  // NOLINT(google-runtime-int): type of NVML
  int (*temperature)(void* device, int which, unsigned* celsius);
};

// Loaded by the first call and kept until the process ends.
const Nvml* nvml() {
  static const std::optional<Nvml> loaded = []() -> std::optional<Nvml> {
    const SharedLibrary library("libnvidia-ml.so.1");
    Nvml api{};
    const bool complete = library.find("nvmlInit_v2", api.init) &&
                          library.find("nvmlDeviceGetHandleByPciBusId_v2", api.device_by_bus_id) &&
                          library.find("nvmlDeviceGetClockInfo", api.clock) &&
                          library.find("nvmlDeviceGetCurrentClocksThrottleReasons", api.reasons) &&
                          library.find("nvmlDeviceGetTemperature", api.temperature);
    if (!complete || api.init() != kNvmlSuccess) return std::nullopt;
    return api;
  }();
  return loaded ? &*loaded : nullptr;
}

}  // namespace

std::optional<GpuClock> GpuClock::open(const DeviceInfo& device) {
  int ordinal = 0;
  if (std::sscanf(device.id.c_str(), "cuda:%d", &ordinal) != 1 || !nvml()) return std::nullopt;
  std::array<char, 32> bus_id{};
  if (cudaDeviceGetPCIBusId(bus_id.data(), bus_id.size(), ordinal) != cudaSuccess) return std::nullopt;
  void* handle = nullptr;
  if (nvml()->device_by_bus_id(bus_id.data(), &handle) != kNvmlSuccess) return std::nullopt;
  return GpuClock(handle);
}

std::optional<ClockReading> GpuClock::read() const {
  unsigned mhz = 0, celsius = 0;
  unsigned long long reasons = 0;  // NOLINT(google-runtime-int): type of NVML
  if (nvml()->clock(device_, kNvmlClockSm, &mhz) != kNvmlSuccess || mhz == 0) return std::nullopt;
  if (nvml()->reasons(device_, &reasons) != kNvmlSuccess) return std::nullopt;
  nvml()->temperature(device_, kNvmlTemperatureGpu, &celsius);
  return ClockReading{.mhz = mhz, .reasons = reasons, .celsius = celsius};
}

#else

std::optional<GpuClock> GpuClock::open(const DeviceInfo&) { return std::nullopt; }
std::optional<ClockReading> GpuClock::read() const { return std::nullopt; }

#endif

}  // namespace metallic::cuda
