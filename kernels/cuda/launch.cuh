// Launching a kernel on an executor's stream: clusters, dynamic shared memory, and errors as codes.
#pragma once

#include <cuda_runtime.h>

#include "backends/cuda/check.h"
#include "core/executor.h"

namespace metallic::cuda {

struct Grid {
  dim3 blocks;
  unsigned threads;
  size_t shared = 0;     ///< bytes of dynamic shared memory of a block
  unsigned cluster = 1;  ///< blocks along x that share theirs
};

/// Lets a kernel be launched with up to so much dynamic shared memory and, beyond 8, with so large a cluster, on the current
/// device. The last call for a kernel counts, so each must allow what all plans with it want.
template <typename... Parameters>
Status allow(void (*kernel)(Parameters...), size_t shared, unsigned cluster = 1) {
  if (shared > 48 << 10)
    METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)));
  if (cluster > 8) METALLIC_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  return {};
}

template <typename... Parameters, typename... Arguments>
Code launch(void (*kernel)(Parameters...), const Grid& grid, Executor& executor, const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid.blocks;
  config.blockDim = dim3(grid.threads);
  config.dynamicSmemBytes = grid.shared;
  config.stream = static_cast<cudaStream_t>(executor.stream());
  cudaLaunchAttribute cluster{};
  if (grid.cluster > 1) {
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {grid.cluster, 1, 1};
    config.attrs = &cluster;
    config.numAttrs = 1;
  }
  return code_of(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

}  // namespace metallic::cuda
