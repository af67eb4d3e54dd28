// CUDA devices: their device, and the streams that kernels run on. Without a driver, or without nvcc when this was built, there
// are none; no header of CUDA's is needed to ask.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "device/info.h"
#include "base/executor.h"
#include "base/status.h"

namespace metallic::cuda {

/// Facts of all devices, "cuda:0" first; none where the driver is missing or too old. `cores` are multiprocessors, `isa` is
/// "sm_90" with 90 as `isa_bit`, `l1d_bytes` the shared memory that a block may have, `l2_bytes` and `llc_bytes` the L2 cache.
std::vector<DeviceInfo> devices();

/// The device of that id, as `devices` has it. Errors: there is none, and which there are.
Result<DeviceInfo> device(std::string_view id);

/// An executor whose kernels are launched on `stream`, a cudaStream_t, or on one of its own where that is null. Kernels are
/// asynchronous: `run` of a kernel returns when it is launched, and may be captured in a graph. Tasks of its own `run` are run by
/// the calling thread. Errors: those of CUDA.
Result<std::unique_ptr<Executor>> make_stream(const DeviceInfo& device, void* stream = nullptr);

/// Waits for all that was launched on the executor's stream; the error of whatever failed there.
Status synchronize(Executor& executor);

}  // namespace metallic::cuda
