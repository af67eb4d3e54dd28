// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/cuda_devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>

#ifdef METALLIC_WITH_CUDA
#include "device/cuda/check.h"
#endif

namespace metallic::cuda {

Result<DeviceInfo> device(std::string_view id) {
  std::vector<std::string> ids = {"cpu"};
  for (DeviceInfo& device : devices()) {
    if (device.id == id) return std::move(device);
    ids.push_back(device.id);
  }
  return fail(Code::not_found, "device {}: this machine has: {}", in_quotes(id), fmt::join(ids, ", "));
}

int ordinal(std::string_view id) {
  constexpr std::string_view kPrefix = "cuda:";
  if (!id.starts_with(kPrefix)) return -1;
  id.remove_prefix(kPrefix.size());
  int number = -1;
  const auto [end, status] = std::from_chars(id.data(), id.data() + id.size(), number);
  return status == std::errc() && end == id.data() + id.size() && number >= 0 ? number : -1;
}

#ifdef METALLIC_WITH_CUDA

namespace {

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Result<DeviceInfo> device_info(int ordinal, const std::string& driver) {
  cudaDeviceProp properties;
  METALLIC_CUDA(cudaGetDeviceProperties(&properties, ordinal));
  int clock_khz = 0, memory_clock_khz = 0;
  METALLIC_CUDA(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, ordinal));
  METALLIC_CUDA(cudaDeviceGetAttribute(&memory_clock_khz, cudaDevAttrMemoryClockRate, ordinal));
  return DeviceInfo{.id = fmt::format("cuda:{}", ordinal),
                    .backend = "cuda",
                    .model = properties.name,
                    .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem),
                    .kind = CudaInfo{.sm_version = 10 * properties.major + properties.minor,
                                     .num_sms = properties.multiProcessorCount,
                                     .smem_per_block = static_cast<int64_t>(properties.sharedMemPerBlockOptin),
                                     .l2_bytes = properties.l2CacheSize,
                                     .clock_mhz = clock_khz / 1000,
                                     .memory_clock_mhz = memory_clock_khz / 1000,
                                     .driver = driver}};
}

class OwnStream final : public BorrowedStream {
 public:
  explicit OwnStream(cudaStream_t stream) : BorrowedStream(stream) {}
  ~OwnStream() override { cudaStreamDestroy(static_cast<cudaStream_t>(stream())); }
};

}  // namespace

std::vector<DeviceInfo> devices() {
  int count = 0, driver = 0, runtime = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();  // clears the error, which is not one for later calls
    return {};
  }
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const std::string versions = fmt::format("CUDA {}, runtime {}", version_text(driver), version_text(runtime));
  std::vector<DeviceInfo> found;
  for (int ordinal = 0; ordinal < count; ++ordinal)
    if (auto device = device_info(ordinal, versions)) found.push_back(std::move(*device));
  return found;
}

Result<std::unique_ptr<Executor>> make_stream(const DeviceInfo& device, void* stream) {
  if (device.backend != "cuda" || ordinal(device.id) < 0)
    return fail(Code::invalid_argument, "device {} is no CUDA device", in_quotes(device.id));
  METALLIC_CUDA(cudaSetDevice(ordinal(device.id)));
  if (stream) return std::make_unique<BorrowedStream>(stream);
  cudaStream_t own = nullptr;
  METALLIC_CUDA(cudaStreamCreateWithFlags(&own, cudaStreamNonBlocking));
  return std::make_unique<OwnStream>(own);
}

Status synchronize(Executor& executor) {
  METALLIC_CUDA(cudaStreamSynchronize(static_cast<cudaStream_t>(executor.stream())));
  return {};
}

#else

std::vector<DeviceInfo> devices() { return {}; }

Result<std::unique_ptr<Executor>> make_stream(const DeviceInfo& device, void*) {
  return fail(Code::unsupported, "device {}: this build has no CUDA (nvcc was not found)", in_quotes(device.id));
}

Status synchronize(Executor&) { return {}; }

#endif

}  // namespace metallic::cuda
