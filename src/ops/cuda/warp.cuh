// SPDX-License-Identifier: Apache-2.0
// Warps and warpgroups: their sizes, and butterfly reductions, whose order is fixed.
#pragma once

#include <cuda_runtime.h>

namespace metallic::cuda {

inline constexpr int kWarpSize = 32;
inline constexpr int kWarpgroupSize = 128;

/// The maximum, or the sum, over groups of `width` neighbouring lanes, a power of two. Every lane gets the result.
__device__ inline float warp_reduce_max(float x, int width = kWarpSize) {
  for (int offset = width / 2; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}
__device__ inline float warp_reduce_sum(float x, int width = kWarpSize) {
  for (int offset = width / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

}  // namespace metallic::cuda
