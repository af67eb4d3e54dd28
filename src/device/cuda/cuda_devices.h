// SPDX-License-Identifier: Apache-2.0
// CUDA devices and streams. Includes no CUDA header; without a driver, or in a build without nvcc, there are no devices.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/status.h"
#include "device/info.h"

namespace metallic::cuda {

/// All devices, "cuda:0" first; none if the driver is missing or too old.
std::vector<DeviceInfo> devices();

/// The device with an id of `devices`. Errors: Code::not_found, with the ids that exist.
Result<DeviceInfo> device(std::string_view id);

/// The number of the device with an id such as "cuda:0"; -1 for every other text.
int ordinal(std::string_view id);

/// A caller's stream, which may be destroyed before this executor is. Its `run` runs tasks on the calling thread.
class BorrowedStream : public InlineExecutor {
 public:
  explicit BorrowedStream(void* stream) : stream_(stream) {}
  void* stream() const final { return stream_; }

 private:
  void* stream_;
};

/// An executor that launches kernels on `stream`, a cudaStream_t, or on a stream of its own if that is null. Kernels are
/// asynchronous: `run` of a kernel returns after the launch, and may be captured in a graph. The executor's own `run` runs its
/// tasks on the calling thread. Errors: those of CUDA.
Result<std::unique_ptr<Executor>> make_stream(const DeviceInfo& device, void* stream = nullptr);

/// Waits until the executor's stream is idle. Errors: those of the kernels on it.
Status synchronize(Executor& executor);

}  // namespace metallic::cuda
