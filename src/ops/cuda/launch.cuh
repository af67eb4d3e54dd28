// SPDX-License-Identifier: Apache-2.0
// Kernel launches on an executor's stream: clusters, dynamic shared memory, programmatic dependent launch (PDL), error codes.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "base/executor.h"
#include "device/cuda/check.h"
#include "device/info.h"

namespace metallic::cuda {

struct LaunchConfig {
  dim3 grid;                  ///< blocks
  dim3 block;                 ///< threads
  size_t smem_bytes = 0;      ///< dynamic shared memory of a block
  unsigned cluster_size = 1;  ///< blocks along x
  bool pdl = false;           ///< programmatic dependent launch: the kernel must call grid_dependency_wait
};

inline bool supports_pdl(const DeviceInfo& device) { return device.cuda().sm_version >= 90; }

/// Waits until the kernels before this one in the stream have completed and their writes are visible. A kernel launched with PDL
/// calls it before it touches global memory.
__device__ inline void grid_dependency_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel of the stream launch, which hides its launch latency and prologue. Called right after
/// grid_dependency_wait: the next kernel still waits there for this grid to complete.
__device__ inline void grid_launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Raises a kernel's limits on the current device to this much dynamic shared memory and, beyond 8 blocks, to non-portable
/// cluster sizes. The last call for a kernel counts, so each must allow what every plan of that kernel needs.
template <typename... Parameters>
Status set_kernel_limits(void (*kernel)(Parameters...), size_t smem_bytes, unsigned cluster_size = 1) {
  if (smem_bytes > 48 << 10)
    METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(smem_bytes)));
  if (cluster_size > 8) METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  return {};
}

/// The runtime's form of a LaunchConfig; `config` points into it.
struct RuntimeConfig {
  cudaLaunchConfig_t config{};
  cudaLaunchAttribute attributes[2] = {};

  RuntimeConfig(const LaunchConfig& launch, cudaStream_t stream) {
    config.gridDim = launch.grid;
    config.blockDim = launch.block;
    config.dynamicSmemBytes = launch.smem_bytes;
    config.stream = stream;
    config.attrs = attributes;
    if (launch.cluster_size > 1) {
      cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim = {launch.cluster_size, 1, 1};
    }
    if (launch.pdl) {
      cudaLaunchAttribute& pdl = attributes[config.numAttrs++];
      pdl.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      pdl.val.programmaticStreamSerializationAllowed = 1;
    }
  }
  RuntimeConfig(const RuntimeConfig&) = delete;
};

/// How many clusters of a launch, or blocks if it has none, are resident at once on the current device.
template <typename... Parameters>
Result<unsigned> max_resident(void (*kernel)(Parameters...), const LaunchConfig& launch, const DeviceInfo& device) {
  int count = 0;
  if (launch.cluster_size > 1) {
    const RuntimeConfig runtime(launch, nullptr);
    METALLIC_CUDA(cudaOccupancyMaxActiveClusters(&count, kernel, &runtime.config));
  } else {
    METALLIC_CUDA(
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, static_cast<int>(launch.block.x), launch.smem_bytes));
    count *= static_cast<int>(device.cuda().num_sms);
  }
  return static_cast<unsigned>(std::max(count, 1));
}

template <typename... Parameters, typename... Arguments>
Code launch_kernel(void (*kernel)(Parameters...), const LaunchConfig& launch, Executor& executor, const Arguments&... arguments) {
  const RuntimeConfig runtime(launch, static_cast<cudaStream_t>(executor.stream()));
  return code_of(cudaLaunchKernelEx(&runtime.config, kernel, Parameters(arguments)...));
}

}  // namespace metallic::cuda
