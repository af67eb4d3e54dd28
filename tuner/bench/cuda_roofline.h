// Streaming on a CUDA device: reading and copying as fast as it can, and multiply-adds in tensor cores: what kernels are held
// against.
#pragma once

#include "base/executor.h"
#include "device/info.h"
#include "ops/problem.h"
#include "ops/variant.h"
#include "profile/device_json.h"

namespace metallic::cuda {

/// A kernel that only moves what the problem must: a softmax is copied, of a matmul its weights are read. It computes nothing.
std::unique_ptr<const Kernel> mover(const Problem& problem, const DeviceInfo& device);

/// Best of several runs over buffers of some L2 caches; `flops_per_s` is that of bf16 in mma instructions.
Result<Roofline> measure_roofline(const DeviceInfo& device, Executor& executor);

}  // namespace metallic::cuda
