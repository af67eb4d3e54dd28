// SPDX-License-Identifier: Apache-2.0
// The kernel of cuda_gemv_tma: a producer warp fills a pipeline with TMA, consumer warps share the K of each stage with mma.sync.
#pragma once

#include "ops/cuda/launch.cuh"
#include "ops/cuda/mbarrier.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/cuda/tma.cuh"
#include "ops/matmul/cuda_gemv_tma.h"
#include "ops/matmul/smem_tile.cuh"

namespace metallic::matmul {

/// Reads the fragments of B, 8 columns × 32 K, for two mma: two registers each.
template <typename T>
__device__ void load_column_fragments(unsigned (&fragments)[4], const T* tile, int k) {
  using Tile = SmemTile<T, 8, true>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  cuda::ldmatrix_x4(fragments, cuda::smem_address(tile + Tile::offset(lane % 8, k / 8 + lane / 8)));
}

/// Fills a stage without TMA, for tensors that are not aligned to 16 bytes: one warp, element by element.
template <int kRows, int kColumns, typename In>
__device__ void copy_elementwise(const GemvShape& p, const In* w, const In* x, In* stage, int64_t first_row, int64_t first_k) {
  constexpr int kBoxRows = kRows + kColumns;
  for (int i = static_cast<int>(threadIdx.x) % kWarpSize; i < kGemvTmaConsumerWarps * kBoxRows * kGemvTmaBoxK; i += kWarpSize) {
    const int box = i / (kBoxRows * kGemvTmaBoxK), line = i / kGemvTmaBoxK % kBoxRows, column = i % kGemvTmaBoxK;
    const bool is_weight = line < kRows;
    const int own = is_weight ? line : line - kRows;
    const int64_t k = first_k + kGemvTmaBoxK * box + column, row = is_weight ? first_row + own : own;
    In value = cuda::from_float<In>(0);
    if (k < p.k && row < (is_weight ? p.big : p.n))
      value = is_weight ? w[blockIdx.y * p.w_batch_stride + row * p.w_stride + k]
                        : x[blockIdx.y * p.x_batch_stride + row * p.x_stride_n + k];
    In* const to = stage + (kBoxRows * box + (is_weight ? 0 : kRows)) * kGemvTmaBoxK;
    to[SmemTile<In, kRows, true>::offset(own, column / 8) + column % 8] = value;
  }
}

/// Without split-K a block is persistent: it iterates over tiles of kRows of the weights, and the producer loads the next tile's
/// stages during the epilogue of this one.
template <typename In, typename Out, int kRows, int kColumnTiles>
__global__ void __launch_bounds__(kGemvTmaThreads)
    gemv_tma(const __grid_constant__ CUtensorMap w_map, const __grid_constant__ CUtensorMap x_map, const GemvShape p,
             const void* w_data, const void* x_data, void* y_data, const unsigned split, const int stages,
             const bool maps_valid) {
  constexpr int kColumns = 8 * kColumnTiles, kRowTiles = kRows / 16;
  constexpr int kBoxW = kRows * kGemvTmaBoxK, kBox = kBoxW + kColumns * kGemvTmaBoxK;  // elements
  constexpr int kStage = kGemvTmaConsumerWarps * kBox;
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ cuda::Mbarrier full_barriers[kGemvTmaMaxStages], empty_barriers[kGemvTmaMaxStages];
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const auto rank = static_cast<int>(blockIdx.x % split), step_stride = static_cast<int>(split);
  const In *const w = static_cast<const In*>(w_data), *const x = static_cast<const In*>(x_data);
  Out* const y = static_cast<Out*>(y_data) + blockIdx.y * p.y_batch_stride;
  // Each tile starts at another K step. If all blocks read the same step of rows that are a power of two apart, they load few of
  // the memory channels (K = 14336 and 28672 in bf16: 5 % slower).
  const int steps = static_cast<int>((p.k + kGemvTmaStageK - 1) / kGemvTmaStageK);
  const int count = rank < steps ? (steps - rank + step_stride - 1) / step_stride : 0;
  int stage = 0;
  unsigned phase = 0;
  // Calls function(step) for the K steps of a tile, each in the next stage.
  const auto for_steps = [&](int tile, const auto& function) {
    int step = count > 0 ? rank + tile % count * step_stride : 0;
    for (int i = 0; i < count; ++i) {
      function(step);
      if ((step += step_stride) >= steps) step = rank;
      if (++stage == stages) stage = 0, ++phase;
    }
  };
  const int tiles = static_cast<int>((p.big + kRows - 1) / kRows), first_tile = static_cast<int>(blockIdx.x / split);
  const int tile_stride = static_cast<int>(gridDim.x / split);
  float* const acc_smem = reinterpret_cast<float*>(smem + stages * kStage * sizeof(In));
  In* const stages_smem = reinterpret_cast<In*>(smem);
  if (threadIdx.x == 0)
    for (int s = 0; s < stages; ++s) full_barriers[s].init(1), empty_barriers[s].init(kGemvTmaConsumerWarps);
  __syncthreads();
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();

  float acc[kRowTiles][kColumnTiles][4] = {};
  const auto put = [&](float* to) {
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
      for (int e = 0; e < kColumnTiles; ++e)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          to[(16 * t + 8 * (i / 2) + lane / 4) * kColumns + 8 * e + 2 * (lane % 4) + i % 2] = acc[t][e][i], acc[t][e][i] = 0;
  };
  if (warp == kGemvTmaConsumerWarps) {
    // Producer.
    for (int tile = first_tile; tile < tiles; tile += tile_stride)
      for_steps(tile, [&](int step) {
        if (phase > 0) empty_barriers[stage].wait(phase - 1);
        In* const to = stages_smem + stage * kStage;
        if (!maps_valid) {
          copy_elementwise<kRows, kColumns>(p, w, x, to, kRows * tile, kGemvTmaStageK * step);
          __syncwarp();
          if (lane == 0) full_barriers[stage].arrive();
        } else if (lane == 0) {
          full_barriers[stage].arrive_and_expect_tx(kStage * sizeof(In));
          for (int box = 0; box < kGemvTmaConsumerWarps; ++box) {
            const int k = kGemvTmaStageK * step + kGemvTmaBoxK * box, matrix = static_cast<int>(blockIdx.y);
            cuda::tma_load_3d_evict_first(to + box * kBox, &w_map, full_barriers[stage], k, kRows * tile, matrix);
            cuda::tma_load_3d(to + box * kBox + kBoxW, &x_map, full_barriers[stage], k, 0, matrix);
          }
        }
      });
  } else {
    // Consumers.
    for (int tile = first_tile; tile < tiles; tile += tile_stride) {
      for_steps(tile, [&](int) {
        const In *const own_w = stages_smem + stage * kStage + warp * kBox, *const own_x = own_w + kBoxW;
        full_barriers[stage].wait(phase);
#pragma unroll
        for (int k = 0; k < kGemvTmaBoxK; k += 32) {
          unsigned frag_w[2][kRowTiles][4], frag_x[2][4];
#pragma unroll
          for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int t = 0; t < kRowTiles; ++t)
              SmemTile<In, kRows, true>::load_fragments(frag_w[half][t], own_w, 16 * t, k + 16 * half);
          if constexpr (kColumnTiles == 1)
            load_column_fragments(frag_x[0], own_x, k);
          else
#pragma unroll
            for (int half = 0; half < 2; ++half) SmemTile<In, 16, true>::load_fragments(frag_x[half], own_x, 0, k + 16 * half);
#pragma unroll
          for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
              for (int e = 0; e < kColumnTiles; ++e) {
                const unsigned(&a)[4] = frag_w[half][t];
                const unsigned b0 = kColumnTiles == 1 ? frag_x[0][2 * half] : frag_x[half][e];
                const unsigned b1 = kColumnTiles == 1 ? frag_x[0][2 * half + 1] : frag_x[half][e + 2];
                cuda::mma_m16n8k16<In>(acc[t][e], a[0], a[1], a[2], a[3], b0, b1);
              }
        }
        __syncwarp();
        if (lane == 0) empty_barriers[stage].arrive();
      });
      // The producer is elsewhere, so the barrier is one of the consumers.
      if (split == 1)
        gemv_epilogue<kRows, kColumns>(p, y, int64_t{kRows} * tile, 1, kGemvTmaConsumerWarps, kGemvTmaConsumerWarps * kWarpSize,
                                       acc_smem, put, [] {
                                         asm volatile("bar.sync 1, %0;" ::"n"(kGemvTmaConsumerWarps * kWarpSize) : "memory");
                                       });
    }
  }
  if (split > 1) gemv_epilogue<kRows, kColumns>(p, y, int64_t{kRows} * first_tile, split, kGemvTmaConsumerWarps, acc_smem, put);
}

template <typename In, typename Out, int kRows, int kColumnTiles>
constexpr GemvTmaInstance gemv_tma_instance() {
  return {cuda::kDType<In>, cuda::kDType<Out>, kRows, 8 * kColumnTiles, gemv_tma<In, Out, kRows, kColumnTiles>};
}

template <typename In>
constexpr std::array<GemvTmaInstance, 12> gemv_tma_instances() {
  return {gemv_tma_instance<In, In, 16, 1>(),    gemv_tma_instance<In, In, 16, 2>(),    gemv_tma_instance<In, In, 32, 1>(),
          gemv_tma_instance<In, In, 32, 2>(),    gemv_tma_instance<In, In, 64, 1>(),    gemv_tma_instance<In, In, 64, 2>(),
          gemv_tma_instance<In, float, 16, 1>(), gemv_tma_instance<In, float, 16, 2>(), gemv_tma_instance<In, float, 32, 1>(),
          gemv_tma_instance<In, float, 32, 2>(), gemv_tma_instance<In, float, 64, 1>(), gemv_tma_instance<In, float, 64, 2>()};
}

}  // namespace metallic::matmul
