// SPDX-License-Identifier: Apache-2.0
// The kernels of cuda_gemv: the warps of a block, and the blocks of a split-K cluster, share the K of a few rows of weights.
#pragma once

#include <type_traits>

#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/matmul/cuda_gemv.h"

namespace metallic::matmul {

/// The K steps of a warp: all warps of the cluster interleave them.
struct WarpSteps {
  int64_t first, stride;  ///< K of the first step, and from one to the next
};
__device__ inline WarpSteps warp_steps(unsigned split, int step_k) {
  const int64_t warps = blockDim.x / kWarpSize, warp = threadIdx.x / kWarpSize, rank = blockIdx.x % split;
  return {(rank * warps + warp) * step_k, split * warps * step_k};
}

/// A thread's 16 bytes of a row are not the elements that mma assigns to it, but the same for W and X, and the order of K within
/// a sum is free. Each warp has a cp.async pipeline in shared memory: holding the loads in registers instead read the weights at
/// 0.78 to 0.86 of the speed of memory. Each thread reads only what it copied, so the pipeline needs no barrier.
template <typename In, typename Out, int kRowTiles, int kColumnTiles, int kStages>
__global__ void __launch_bounds__(kWarpSize* kGemvMaxWarps)
    gemv_mma(const GemvShape p, const void* w_data, const void* x_data, void* y_data, const unsigned split) {
  constexpr int kChunkElements = cuda::kChunkElements<In>;
  constexpr int kRows = 2 * kRowTiles;  // of a thread
  constexpr int kDepth = kGemvMmaStepK / 32, kChunks = kDepth * (kRows + kColumnTiles);
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  extern __shared__ uint4 smem[];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, group = lane / 4, quad_lane = lane % 4;
  const int64_t first_row = blockIdx.x / split * int64_t{16 * kRowTiles};
  const In* const w = static_cast<const In*>(w_data) + blockIdx.y * p.w_batch_stride;
  const In* const x = static_cast<const In*>(x_data) + blockIdx.y * p.x_batch_stride;
  Out* const y = static_cast<Out*>(y_data) + blockIdx.y * p.y_batch_stride;
  const WarpSteps steps = warp_steps(split, kGemvMmaStepK);
  // This thread's chunk `c` of stage `s` is pipeline[(s·kChunks + c)·32].
  uint4* const pipeline = smem + threadIdx.x / kWarpSize * (kStages * kChunks * kWarpSize) + lane;
  const In* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r)
    rows[r] = w + min(first_row + 8 * r + group, p.big - 1) * p.w_stride + kChunkElements * quad_lane;
  const In* columns[kColumnTiles];
  bool valid[kColumnTiles];
#pragma unroll
  for (int e = 0; e < kColumnTiles; ++e) {
    valid[e] = 8 * e + group < p.n;
    columns[e] = x + (valid[e] ? 8 * e + group : 0) * p.x_stride_n + kChunkElements * quad_lane * p.x_stride_k;
  }
  const bool x_aligned =
      p.x_stride_k == 1 && (reinterpret_cast<uintptr_t>(x) | static_cast<uintptr_t>(2 * p.x_stride_n)) % 16 == 0;

  const auto load = [&](int64_t begin, int stage) {
    uint4* to = pipeline + stage * kChunks * kWarpSize;
    if (begin < p.k) {
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        const int64_t k = begin + 32 * d, left = p.k - k - kChunkElements * quad_lane;
        const int count = left >= kChunkElements ? kChunkElements : left > 0 ? static_cast<int>(left) : 0;
#pragma unroll
        for (int r = 0; r < kRows; ++r, to += kWarpSize) cuda::cp_async<16>(to, count > 0 ? rows[r] + k : w, 2 * count);
#pragma unroll
        for (int e = 0; e < kColumnTiles; ++e, to += kWarpSize) {
          if (!valid[e]) continue;
          if (x_aligned) {
            cuda::cp_async<16>(to, count > 0 ? columns[e] + k : x, 2 * count);
          } else {
            cuda::Chunk<In> chunk;
#pragma unroll
            for (int i = 0; i < kChunkElements; ++i)
              chunk.elements[i] = i < count ? columns[e][(k + i) * p.x_stride_k] : cuda::from_float<In>(0);
            *to = chunk.bits;
          }
        }
      }
    }
    cuda::cp_async_commit_group();
  };
  // Columns beyond n stay zero.
#pragma unroll
  for (int e = 0; e < kColumnTiles; ++e)
    if (!valid[e])
      for (int i = 0; i < kStages * kDepth; ++i) pipeline[(i * (kRows + kColumnTiles) + kRows + e) * kWarpSize] = uint4{};
  for (int s = 0; s < kStages; ++s) load(steps.first + s * steps.stride, s);

  float acc[kRowTiles][kColumnTiles][4] = {};
  int stage = 0;
  for (int64_t begin = steps.first; begin < p.k; begin += steps.stride) {
    cuda::cp_async_wait_group<kStages - 1>();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      uint4 chunks[kRows + kColumnTiles];
#pragma unroll
      for (int c = 0; c < kRows + kColumnTiles; ++c)
        chunks[c] = pipeline[(stage * kChunks + d * (kRows + kColumnTiles) + c) * kWarpSize];
      if (d == kDepth - 1) load(begin + kStages * steps.stride, stage);
#pragma unroll
      for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
        for (int e = 0; e < kColumnTiles; ++e) {
          const uint4 &low = chunks[2 * t], &high = chunks[2 * t + 1], &b = chunks[kRows + e];
          cuda::mma_m16n8k16<In>(acc[t][e], low.x, high.x, low.y, high.y, b.x, b.y);
          cuda::mma_m16n8k16<In>(acc[t][e], low.z, high.z, low.w, high.w, b.z, b.w);
        }
    }
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  cuda::cp_async_wait_group<0>();
  gemv_epilogue<16 * kRowTiles, 8 * kColumnTiles>(
      p, y, first_row, split, static_cast<int>(blockDim.x) / kWarpSize, reinterpret_cast<float*>(smem), [&](float* to) {
#pragma unroll
        for (int t = 0; t < kRowTiles; ++t)
#pragma unroll
          for (int e = 0; e < kColumnTiles; ++e)
#pragma unroll
            for (int i = 0; i < 4; ++i)
              to[(16 * t + 8 * (i / 2) + group) * 8 * kColumnTiles + 8 * e + 2 * quad_lane + i % 2] = acc[t][e][i];
      });
}

/// K-major weights of any type and alignment: the lanes of a warp share K.
template <typename In, typename Out, int kColumns>
__global__ void __launch_bounds__(512)
    gemv_dot(const GemvShape p, const void* w_data, const void* x_data, void* y_data, const unsigned split) {
  constexpr int kRows = 4, kVector = 4;  // elements of a lane's load
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int64_t first_row = blockIdx.x / split * int64_t{kRows};
  const In* const w = static_cast<const In*>(w_data) + blockIdx.y * p.w_batch_stride;
  const In* const x = static_cast<const In*>(x_data) + blockIdx.y * p.x_batch_stride;
  Out* const y = static_cast<Out*>(y_data) + blockIdx.y * p.y_batch_stride;
  const auto load = [&](float(&to)[kVector], const In* from, int64_t step, int64_t k) {
    if constexpr (std::is_same_v<In, float>)
      if (step == 1 && k + kVector <= p.k && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
        // Not __ldg: with PDL an earlier kernel may write this memory until grid_dependency_wait returns.
        const float4 all = *reinterpret_cast<const float4*>(from);
        to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
        return;
      }
#pragma unroll
    for (int i = 0; i < kVector; ++i) to[i] = k + i < p.k ? cuda::to_float(from[i * step]) : 0;
  };
  float acc[kRows][kColumns] = {};
  const WarpSteps steps = warp_steps(split, kWarpSize * kVector);
  for (int64_t begin = steps.first; begin < p.k; begin += steps.stride) {
    const int64_t k = begin + kVector * lane;
    float weights[kRows][kVector];
#pragma unroll
    for (int r = 0; r < kRows; ++r) load(weights[r], w + min(first_row + r, p.big - 1) * p.w_stride + k, 1, k);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (c >= p.n) break;
      float column[kVector];
      load(column, x + c * p.x_stride_n + k * p.x_stride_k, p.x_stride_k, k);
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kVector; ++i) acc[r][c] = fmaf(weights[r][i], column[i], acc[r][c]);
    }
  }
  extern __shared__ float acc_smem[];
  gemv_epilogue<kRows, kColumns>(p, y, first_row, split, static_cast<int>(blockDim.x) / kWarpSize, acc_smem, [&](float* to) {
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const float sum = cuda::warp_reduce_sum(acc[r][c]);
        if (lane == 0) to[r * kColumns + c] = sum;
      }
  });
}

/// Weights stored along `big`: each lane has four results and iterates over K.
template <typename In, typename Out, int kColumns>
__global__ void __launch_bounds__(512)
    gemv_axpy(const GemvShape p, const void* w_data, const void* x_data, void* y_data, const unsigned split) {
  constexpr int kVector = 4, kRows = kWarpSize * kVector, kStepK = 8;
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int64_t first_row = blockIdx.x / split * int64_t{kRows}, row = first_row + kVector * lane;
  const In* const w = static_cast<const In*>(w_data) + blockIdx.y * p.w_batch_stride;
  const In* const x = static_cast<const In*>(x_data) + blockIdx.y * p.x_batch_stride;
  Out* const y = static_cast<Out*>(y_data) + blockIdx.y * p.y_batch_stride;
  extern __shared__ float acc_smem[];
  float* x_smem = acc_smem + warp * kStepK * kColumns;  // until the epilogue
  float acc[kVector][kColumns] = {};
  const WarpSteps steps = warp_steps(split, kStepK);
  for (int64_t begin = steps.first; begin < p.k; begin += steps.stride) {
    __syncwarp();
    for (int i = lane; i < kStepK * kColumns; i += kWarpSize) {
      const int64_t k = begin + i / kColumns, c = i % kColumns;
      x_smem[i] = k < p.k && c < p.n ? cuda::to_float(x[k * p.x_stride_k + c * p.x_stride_n]) : 0;
    }
    union {
      uint4 vector_16;
      uint2 vector_8;
      In elements[16 / sizeof(In)];
    } weights[kStepK];
#pragma unroll
    for (int s = 0; s < kStepK; ++s) {
      const In* from = w + (begin + s) * p.w_stride + row;
      const bool vectorized =
          begin + s < p.k && row + kVector <= p.big && reinterpret_cast<uintptr_t>(from) % (kVector * sizeof(In)) == 0;
      if (vectorized) {
        if constexpr (sizeof(In) == 4)
          weights[s].vector_16 = __ldcs(reinterpret_cast<const uint4*>(from));
        else
          weights[s].vector_8 = __ldcs(reinterpret_cast<const uint2*>(from));
      } else {
#pragma unroll
        for (int i = 0; i < kVector; ++i)
          weights[s].elements[i] = begin + s < p.k && row + i < p.big ? from[i] : cuda::from_float<In>(0);
      }
    }
    __syncwarp();
#pragma unroll
    for (int s = 0; s < kStepK; ++s)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const float factor = x_smem[s * kColumns + c];
#pragma unroll
        for (int i = 0; i < kVector; ++i) acc[i][c] = fmaf(cuda::to_float(weights[s].elements[i]), factor, acc[i][c]);
      }
  }
  gemv_epilogue<kRows, kColumns>(p, y, first_row, split, static_cast<int>(blockDim.x) / kWarpSize, acc_smem, [&](float* to) {
#pragma unroll
    for (int i = 0; i < kVector; ++i)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) to[(kVector * lane + i) * kColumns + c] = acc[i][c];
  });
}

// ---- tables ----

template <typename In, typename Out, int kRowTiles, int kColumnTiles, int kStages>
constexpr GemvInstance gemv_mma_instance() {
  constexpr int kRows = 16 * kRowTiles, kColumns = 8 * kColumnTiles;
  return {cuda::kDType<In>,
          cuda::kDType<Out>,
          GemvMethod::mma,
          kRows,
          kColumns,
          kStages,
          kStages * gemv_mma_stage_bytes(kRows, kColumns),
          gemv_mma<In, Out, kRowTiles, kColumnTiles, kStages>};
}

template <typename In, typename Out, int kColumns>
constexpr GemvInstance gemv_dot_instance() {
  return {cuda::kDType<In>, cuda::kDType<Out>, GemvMethod::dot, 4, kColumns, 0, 0, gemv_dot<In, Out, kColumns>};
}

template <typename In, typename Out, int kColumns>
constexpr GemvInstance gemv_axpy_instance() {
  return {cuda::kDType<In>, cuda::kDType<Out>, GemvMethod::axpy, 4 * kWarpSize, kColumns, 0, 0, gemv_axpy<In, Out, kColumns>};
}

template <typename In>
constexpr std::array<GemvInstance, 28> gemv_16_bit_instances() {
  return {
      gemv_mma_instance<In, In, 1, 1, 2>(),    gemv_mma_instance<In, In, 1, 1, 4>(),    gemv_mma_instance<In, In, 2, 1, 4>(),
      gemv_mma_instance<In, In, 1, 2, 2>(),    gemv_mma_instance<In, In, 1, 2, 4>(),    gemv_mma_instance<In, In, 2, 2, 4>(),
      gemv_mma_instance<In, float, 1, 1, 2>(), gemv_mma_instance<In, float, 1, 1, 4>(), gemv_mma_instance<In, float, 2, 1, 4>(),
      gemv_mma_instance<In, float, 1, 2, 2>(), gemv_mma_instance<In, float, 1, 2, 4>(), gemv_mma_instance<In, float, 2, 2, 4>(),
      gemv_dot_instance<In, In, 1>(),          gemv_dot_instance<In, In, 4>(),          gemv_dot_instance<In, In, 8>(),
      gemv_dot_instance<In, In, 16>(),         gemv_dot_instance<In, float, 1>(),       gemv_dot_instance<In, float, 4>(),
      gemv_dot_instance<In, float, 8>(),       gemv_dot_instance<In, float, 16>(),      gemv_axpy_instance<In, In, 1>(),
      gemv_axpy_instance<In, In, 4>(),         gemv_axpy_instance<In, In, 8>(),         gemv_axpy_instance<In, In, 16>(),
      gemv_axpy_instance<In, float, 1>(),      gemv_axpy_instance<In, float, 4>(),      gemv_axpy_instance<In, float, 8>(),
      gemv_axpy_instance<In, float, 16>()};
}

constexpr std::array<GemvInstance, 24> gemv_f32_instances() {
  using Half = __half;
  using BFloat16 = __nv_bfloat16;
  return {gemv_dot_instance<float, float, 1>(),     gemv_dot_instance<float, float, 4>(),
          gemv_dot_instance<float, float, 8>(),     gemv_dot_instance<float, float, 16>(),
          gemv_dot_instance<float, Half, 1>(),      gemv_dot_instance<float, Half, 4>(),
          gemv_dot_instance<float, Half, 8>(),      gemv_dot_instance<float, Half, 16>(),
          gemv_dot_instance<float, BFloat16, 1>(),  gemv_dot_instance<float, BFloat16, 4>(),
          gemv_dot_instance<float, BFloat16, 8>(),  gemv_dot_instance<float, BFloat16, 16>(),
          gemv_axpy_instance<float, float, 1>(),    gemv_axpy_instance<float, float, 4>(),
          gemv_axpy_instance<float, float, 8>(),    gemv_axpy_instance<float, float, 16>(),
          gemv_axpy_instance<float, Half, 1>(),     gemv_axpy_instance<float, Half, 4>(),
          gemv_axpy_instance<float, Half, 8>(),     gemv_axpy_instance<float, Half, 16>(),
          gemv_axpy_instance<float, BFloat16, 1>(), gemv_axpy_instance<float, BFloat16, 4>(),
          gemv_axpy_instance<float, BFloat16, 8>(), gemv_axpy_instance<float, BFloat16, 16>()};
}

}  // namespace metallic::matmul
