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

// NVML's C interface as far as it is used here, declared by hand: its header comes with a package that need not be there, and the
// library with every driver. Names with a version stay as they are.
constexpr int kNoError = 0;
constexpr int kOfMultiprocessors = 1;  // NVML_CLOCK_SM
constexpr int kOfChip = 0;             // NVML_TEMPERATURE_GPU

struct Nvml {
  int (*init)();
  int (*device_of)(const char* pci_bus_id, void** device);
  int (*clock)(void* device, int which, unsigned* mhz);
  int (*reasons)(void* device, unsigned long long* bits);  // NOLINT(google-runtime-int): NVML's type
  int (*temperature)(void* device, int which, unsigned* celsius);
};

// Loaded by the first call and kept until the process ends, as is what init starts.
const Nvml* nvml() {
  static const std::optional<Nvml> loaded = []() -> std::optional<Nvml> {
    const SharedLibrary library("libnvidia-ml.so.1");
    Nvml api{};
    const bool complete = library.find("nvmlInit_v2", api.init) &&
                          library.find("nvmlDeviceGetHandleByPciBusId_v2", api.device_of) &&
                          library.find("nvmlDeviceGetClockInfo", api.clock) &&
                          library.find("nvmlDeviceGetCurrentClocksThrottleReasons", api.reasons) &&
                          library.find("nvmlDeviceGetTemperature", api.temperature);
    if (!complete || api.init() != kNoError) return std::nullopt;
    return api;
  }();
  return loaded ? &*loaded : nullptr;
}

}  // namespace

std::optional<Clocks> Clocks::of(const DeviceInfo& device) {
  int ordinal = 0;
  if (std::sscanf(device.id.c_str(), "cuda:%d", &ordinal) != 1 || !nvml()) return std::nullopt;
  std::array<char, 32> bus_id{};
  if (cudaDeviceGetPCIBusId(bus_id.data(), bus_id.size(), ordinal) != cudaSuccess) return std::nullopt;
  void* device = nullptr;
  if (nvml()->device_of(bus_id.data(), &device) != kNoError) return std::nullopt;
  return Clocks(device);
}

std::optional<ClockReading> Clocks::read() const {
  unsigned mhz = 0, celsius = 0;
  unsigned long long reasons = 0;  // NOLINT(google-runtime-int): NVML's type
  if (nvml()->clock(device_, kOfMultiprocessors, &mhz) != kNoError || mhz == 0) return std::nullopt;
  if (nvml()->reasons(device_, &reasons) != kNoError) return std::nullopt;
  nvml()->temperature(device_, kOfChip, &celsius);
  return ClockReading{.mhz = mhz, .reasons = reasons, .celsius = celsius};
}

#else

std::optional<Clocks> Clocks::of(const DeviceInfo&) { return std::nullopt; }
std::optional<ClockReading> Clocks::read() const { return std::nullopt; }

#endif

}  // namespace metallic::cuda
