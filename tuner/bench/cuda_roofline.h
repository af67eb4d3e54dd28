// SPDX-License-Identifier: Apache-2.0
// The roofline of a CUDA device: memory bandwidth for reads and copies, and the throughput of tensor cores.
#pragma once

#include "base/executor.h"
#include "device/info.h"
#include "ops/problem.h"
#include "ops/variant.h"
#include "profile/device_json.h"

namespace metallic::cuda {

/// A kernel that moves the bytes that the problem must move and computes nothing: copies the input of a softmax, or reads the
/// weights of a matmul.
std::unique_ptr<const Kernel> mover(const Problem& problem, const DeviceInfo& device);

/// The best of several runs over buffers of eight times the L2 cache; `flops_per_s` is that of bf16 mma.sync instructions.
Result<Roofline> measure_roofline(const DeviceInfo& device, Executor& executor);

}  // namespace metallic::cuda
