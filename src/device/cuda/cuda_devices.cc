// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/cuda_devices.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdio>

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

class Stream final : public Executor {
 public:
  Stream(cudaStream_t stream, bool own) : stream_(stream), own_(own) {}
  ~Stream() override {
    // The caller owns its stream and may have destroyed it already.
    if (own_) cudaStreamDestroy(stream_);
  }
  int threads() const override { return 1; }
  void run(size_t count, Task task, void* context) override {
    for (size_t i = 0; i < count; ++i) task(context, i);
  }
  void* stream() const override { return stream_; }

 private:
  cudaStream_t stream_;
  bool own_;
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
  int ordinal = 0;
  if (device.backend != "cuda" || std::sscanf(device.id.c_str(), "cuda:%d", &ordinal) != 1)
    return fail(Code::invalid_argument, "device {} is no CUDA device", in_quotes(device.id));
  METALLIC_CUDA(cudaSetDevice(ordinal));
  const bool own = stream == nullptr;
  auto handle = static_cast<cudaStream_t>(stream);
  if (own) METALLIC_CUDA(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
  return std::make_unique<Stream>(handle, own);
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
