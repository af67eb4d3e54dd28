// SPDX-License-Identifier: Apache-2.0
// TMA: bulk copies of a tensor's boxes from global to shared memory, reported to an mbarrier (sm_90).
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "ops/cuda/mbarrier.cuh"

namespace metallic::cuda {

/// By one thread: copies the box that begins at (column, row) of matrix `matrix`, and reports its bytes to `barrier`.
__device__ inline void tma_load_3d(void* shared, const CUtensorMap* map, const Mbarrier& barrier, int column, int row,
                                   int matrix) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
          smem_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(matrix), "r"(barrier.address())
      : "memory");
#endif
}

/// The same with L2 eviction priority evict_first, for data that is read once.
__device__ inline void tma_load_3d_evict_first(void* shared, const CUtensorMap* map, const Mbarrier& barrier, int column, int row,
                                               int matrix) {
#if __CUDA_ARCH__ >= 900
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4}], "
      "[%5], %6;" ::"r"(smem_address(shared)),
      "l"(map), "r"(column), "r"(row), "r"(matrix), "r"(barrier.address()), "l"(policy)
      : "memory");
#endif
}

}  // namespace metallic::cuda
