// Launching a kernel on an executor's stream: clusters, dynamic shared memory, beginning before the kernel before has ended, and
// errors as codes.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "device/cuda/check.h"
#include "device/info.h"
#include "base/executor.h"

namespace metallic::cuda {

struct Grid {
  dim3 blocks;
  dim3 threads;          ///< of a block
  size_t shared = 0;     ///< bytes of dynamic shared memory of a block
  unsigned cluster = 1;  ///< blocks along x that share theirs
  bool early = false;    ///< blocks may begin while the stream's kernel before ends: each must call after_earlier first
};

/// Whether a device has such beginnings.
inline bool can_begin_early(const DeviceInfo& device) { return device.cuda().sm_version >= 90; }

/// What a kernel that begins early does before it touches any memory: waits until what all kernels before wrote is there, and
/// lets the next one begin, whose launching and first instructions then cost nothing; that one waits here for the end of this.
__device__ inline void after_earlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// Lets a kernel be launched with up to so much dynamic shared memory and, beyond 8, with so large a cluster, on the current
/// device. The last call for a kernel counts, so each must allow what all plans with it want.
template <typename... Parameters>
Status allow(void (*kernel)(Parameters...), size_t shared, unsigned cluster = 1) {
  if (shared > 48 << 10)
    METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
  if (cluster > 8) METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  return {};
}

/// A launch's configuration, with the attributes that it refers to.
struct Launch {
  cudaLaunchConfig_t config{};
  cudaLaunchAttribute attributes[2] = {};

  Launch(const Grid& grid, cudaStream_t stream) {
    config.gridDim = grid.blocks;
    config.blockDim = grid.threads;
    config.dynamicSmemBytes = grid.shared;
    config.stream = stream;
    config.attrs = attributes;
    if (grid.cluster > 1) {
      cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim = {grid.cluster, 1, 1};
    }
    if (grid.early) {
      cudaLaunchAttribute& early = attributes[config.numAttrs++];
      early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      early.val.programmaticStreamSerializationAllowed = 1;
    }
  }
  Launch(const Launch&) = delete;
};

/// How many clusters, or blocks without, of a grid run at once on the current device.
template <typename... Parameters>
Result<unsigned> at_once(void (*kernel)(Parameters...), const Grid& grid, const DeviceInfo& device) {
  int count = 0;
  if (grid.cluster > 1) {
    const Launch launch(grid, nullptr);
    METALLIC_CUDA(cudaOccupancyMaxActiveClusters(&count, kernel, &launch.config));
  } else {
    METALLIC_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, static_cast<int>(grid.threads.x), grid.shared));
    count *= static_cast<int>(device.cuda().num_sms);
  }
  return static_cast<unsigned>(std::max(count, 1));
}

template <typename... Parameters, typename... Arguments>
Code launch(void (*kernel)(Parameters...), const Grid& grid, Executor& executor, const Arguments&... arguments) {
  const Launch launch(grid, static_cast<cudaStream_t>(executor.stream()));
  return code_of(cudaLaunchKernelEx(&launch.config, kernel, Parameters(arguments)...));
}

}  // namespace metallic::cuda
