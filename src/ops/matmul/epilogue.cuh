// SPDX-License-Identifier: Apache-2.0
// The epilogue of tiled products: accumulators are scaled, reduced over the blocks of a split-K cluster, and stored to C.
#pragma once

#include <cooperative_groups.h>

#include <algorithm>
#include <cstdint>

#include "ops/cuda/cluster.cuh"
#include "ops/cuda/element.cuh"
#include "ops/matmul/gemm_shape.cuh"
#include "ops/matmul/split_k.h"

namespace metallic::matmul {

/// C at (i, j) from its accumulator.
template <typename Out>
__device__ void store_element(const GemmShape& s, Out* c, int64_t i, int64_t j, float acc) {
  if (i >= s.m || j >= s.n) return;
  Out& to = c[i * s.c_stride_m + j * s.c_stride_n];
  const float scaled = s.alpha * acc;
  to = cuda::from_float<Out>(s.beta == 0 ? scaled : fmaf(s.beta, cuda::to_float(to), scaled));
}

/// Two neighbours along n, or along m, the first at an even position of the tile; one store if C is contiguous and aligned.
template <typename Out>
__device__ void store_elements(const GemmShape& s, Out* c, int64_t i, int64_t j, float first, float second, bool along_n) {
  Out* const to = c + i * s.c_stride_m + j * s.c_stride_n;
  const bool both = along_n ? i < s.m && j + 1 < s.n : j < s.n && i + 1 < s.m;
  if (sizeof(Out) == 2 && (along_n ? s.c_stride_n : s.c_stride_m) == 1 && s.beta == 0 && both &&
      reinterpret_cast<uintptr_t>(to) % 4 == 0) {
    cuda::store_pair(to, s.alpha * first, s.alpha * second);
  } else {
    store_element(s, c, i, j, first);
    store_element(s, c, along_n ? i : i + 1, along_n ? j + 1 : j, second);
  }
}

/// Puts accumulators straight to C: one, or two at neighbouring columns, the first of which is even.
template <typename Out>
struct GlobalTile {
  const GemmShape& s;
  Out* c;
  int64_t first_m, first_n;
  __device__ void operator()(int row, int column, float acc) const { store_element(s, c, first_m + row, first_n + column, acc); }
  __device__ void operator()(int row, int column, float first, float second) const {
    store_elements(s, c, first_m + row, first_n + column, first, second, true);
  }
};

/// Puts accumulators to shared memory, along the dimension in which C is contiguous. Rows are padded so that a warp's mma
/// accumulators go to different banks.
template <int kM, int kN>
struct SmemAccumulators {
  static constexpr int kRowStride = kN + 8, kColumnStride = kM + 4;
  static constexpr size_t kBytes = sizeof(float) * std::max(kM * kRowStride, kN* kColumnStride);
  float* acc;
  bool along_n;

  __device__ float* at(int row, int column) const {
    return acc + (along_n ? row * kRowStride + column : column * kColumnStride + row);
  }
  __device__ void operator()(int row, int column, float value) const { *at(row, column) = value; }
  __device__ void operator()(int row, int column, float first, float second) const {
    if (along_n)
      *reinterpret_cast<float2*>(at(row, column)) = {first, second};
    else
      *at(row, column) = first, *at(row, column + 1) = second;
  }
};

/// Stores the kM × kN tile of C at (first_m, first_n). With split-K, adds the accumulators of the cluster's `split` blocks in
/// rank order. `for_each(put)` calls put(row, column, …) for this thread's accumulators. Called by all threads of all blocks.
/// What does not go straight to C passes through `smem`, which may hold the pipeline's stages until then.
template <int kM, int kN, typename Out, typename ForEach>
__device__ void store_tile(const GemmShape& s, Out* c, int64_t first_m, int64_t first_n, unsigned split, unsigned char* smem,
                           const ForEach& for_each) {
  const SmemAccumulators<kM, kN> tile{reinterpret_cast<float*>(smem), s.c_stride_n == 1};
  if (split == 1 && tile.along_n) {
    for_each(GlobalTile<Out>{s, c, first_m, first_n});
    return;
  }
  __syncthreads();  // the last stages have been read
  for_each(tile);
#if __CUDA_ARCH__ >= 900
  if (split > 1)
    cooperative_groups::this_cluster().sync();
  else
#endif
    __syncthreads();
  // Each block stores an equal part of the tile. The loads from all blocks are in flight together, then added in rank order.
  const int threads = static_cast<int>(blockDim.x), rank = static_cast<int>(blockIdx.x % split);
  for (int i = static_cast<int>(threadIdx.x) + rank * threads; i < kM * kN / 2; i += static_cast<int>(split) * threads) {
    const int row = tile.along_n ? i / (kN / 2) : 2 * (i % (kM / 2)), column = tile.along_n ? 2 * (i % (kN / 2)) : i / (kM / 2);
    if (first_m + row >= s.m || first_n + column >= s.n) continue;  // an unused remote load may outlive its block
    float* const own = tile.at(row, column);
    float2 pairs[kMaxSplitK] = {};
#pragma unroll
    for (int from = 0; from < kMaxSplitK; ++from) {
      if (from >= static_cast<int>(split)) break;
#if __CUDA_ARCH__ >= 900
      pairs[from] =
          *reinterpret_cast<const float2*>(split == 1 ? own : cooperative_groups::this_cluster().map_shared_rank(own, from));
#else
      pairs[from] = *reinterpret_cast<const float2*>(own);
#endif
    }
    float2 acc = pairs[0];
#pragma unroll
    for (int from = 1; from < kMaxSplitK; ++from) acc.x += pairs[from].x, acc.y += pairs[from].y;
    store_elements(s, c, first_m + row, first_n + column, acc.x, acc.y, tile.along_n);
  }
  if (split > 1) cuda::cluster_sync_relaxed();
}

}  // namespace metallic::matmul
