// SPDX-License-Identifier: Apache-2.0
// The kernels of cuda_gemm: a block computes a tile of C from a cp.async pipeline, with mma.sync for 16-bit types and fma for
// f32.
#pragma once

#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/matmul/cp_async_pipeline.cuh"
#include "ops/matmul/cuda_gemm.h"
#include "ops/matmul/epilogue.cuh"

namespace metallic::matmul {

// With producer warps a K step takes as long as its products, without them as long as products and copies together. Tilings
// without (kProducerThreads = 0) copy with all threads.
template <typename Tiling, typename T, bool kAAlongK, bool kBAlongK>
using GemmPipeline = CpAsyncPipeline<T, Tiling::kM, kAAlongK, Tiling::kN, kBAlongK, Tiling::kStages,
                                     Tiling::kProducerThreads == 0 ? 0 : Tiling::kConsumerThreads,
                                     Tiling::kProducerThreads == 0 ? Tiling::kConsumerThreads : Tiling::kProducerThreads>;

/// The main loop: calls multiply(step) on the consumer threads for each of `steps` K steps once its stage is full.
template <typename Tiling, typename Pipeline, typename Multiply>
__device__ void run_main_loop(Pipeline& pipeline, int steps, const Multiply& multiply) {
  constexpr int kAhead = Tiling::kStages - 1;
  const auto produce = [&](const auto& then) {
    pipeline.prologue();
    for (int step = 0; step < kAhead; ++step) pipeline.load(step);
    for (int step = 0; step < steps; ++step) {
      cuda::cp_async_wait_group<kAhead - 1>();
      __syncthreads();  // this step's stage is full, and that of the previous step is empty
      pipeline.load(step + kAhead);
      then(step);
    }
  };
  if constexpr (Tiling::kProducerThreads == 0) {
    produce(multiply);
  } else if (threadIdx.x >= Tiling::kConsumerThreads) {
    produce([](int) {});
  } else {
    for (int step = 0; step < steps; ++step) {
      __syncthreads();
      multiply(step);
    }
  }
}

// ---- 16-bit types: mma.sync ----

/// A block has kM × kN of C, kWarpsAlongM × kWarpsAlongN consumer warps an equal part each. kNumStages is as many as kBlocks
/// blocks have shared memory for, and for few rows as many as cover the latency of device memory.
template <int kBlockM, int kBlockN, int kWarpsAlongM, int kWarpsAlongN, int kNumStages, int kProducers, int kBlocks>
struct MmaTiling {
  static constexpr int kMinBlocks = kBlocks;  // of a multiprocessor, which limits registers
  static constexpr int kM = kBlockM, kN = kBlockN, kWarpsN = kWarpsAlongN, kStages = kNumStages, kProducerThreads = kProducers;
  static constexpr int kWarpM = kM / kWarpsAlongM, kWarpN = kN / kWarpsAlongN;
  static constexpr int kConsumerThreads = 32 * kWarpsAlongM * kWarpsAlongN, kThreads = kConsumerThreads + kProducerThreads;
  static constexpr size_t kSmemBytes = size_t{2} * kStages * (kM + kN) * kBlockK<__half>;
};
using MmaTiling16 = MmaTiling<16, 32, 1, 2, 8, 128, 4>;
using MmaTiling64 = MmaTiling<64, 64, 2, 2, 4, 128, 2>;
using MmaTiling128 = MmaTiling<128, 128, 2, 2, 3, 0, 2>;

template <typename Tiling, typename In, typename Out, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Tiling::kThreads, Tiling::kMinBlocks)
    gemm_mma(const GemmShape s, const void* a_data, const void* b_data, void* c_data, const int copy_bytes_a,
             const int copy_bytes_b, const unsigned split) {
  static_assert(SmemAccumulators<Tiling::kM, Tiling::kN>::kBytes <= Tiling::kSmemBytes);
  constexpr int kMmaM = Tiling::kWarpM / 16, kMmaN = Tiling::kWarpN / 8;  // mma tiles of a warp
  using Pipeline = GemmPipeline<Tiling, In, kAAlongK, kBAlongK>;
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  extern __shared__ __align__(16) unsigned char smem[];
  const In* const a = static_cast<const In*>(a_data) + blockIdx.z * s.a.batch_stride;
  const In* const b = static_cast<const In*>(b_data) + blockIdx.z * s.b.batch_stride;
  Out* const c = static_cast<Out*>(c_data) + blockIdx.z * s.c_batch_stride;
  const int64_t first_m = int64_t{Tiling::kM} * blockIdx.y, first_n = int64_t{Tiling::kN} * (blockIdx.x / split);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_m = warp / Tiling::kWarpsN * Tiling::kWarpM, warp_n = warp % Tiling::kWarpsN * Tiling::kWarpN;
  const KSteps steps = k_steps<In>(s, split);
  Pipeline pipeline(s, steps, a, first_m, copy_bytes_a, b, first_n, copy_bytes_b, smem);
  float acc[kMmaM][kMmaN][4] = {};
  run_main_loop<Tiling>(pipeline, steps.count, [&](int step) {
    const In *const tile_a = pipeline.a(step), *const tile_b = pipeline.b(step);
#pragma unroll
    for (int k = 0; k < kBlockK<In>; k += 16) {
      unsigned frag_a[kMmaM][4], frag_b[kMmaN / 2][4];
#pragma unroll
      for (int i = 0; i < kMmaM; ++i) Pipeline::TileA::load_fragments(frag_a[i], tile_a, warp_m + 16 * i, k);
#pragma unroll
      for (int j = 0; j < kMmaN / 2; ++j) Pipeline::TileB::load_fragments(frag_b[j], tile_b, warp_n + 16 * j, k);
#pragma unroll
      for (int i = 0; i < kMmaM; ++i)
#pragma unroll
        for (int j = 0; j < kMmaN; ++j)
          cuda::mma_m16n8k16<In>(acc[i][j], frag_a[i][0], frag_a[i][1], frag_a[i][2], frag_a[i][3], frag_b[j / 2][j % 2],
                                 frag_b[j / 2][j % 2 + 2]);
    }
  });
  const auto for_each = [&](const auto& put) {
    if (threadIdx.x >= Tiling::kConsumerThreads) return;
#pragma unroll
    for (int i = 0; i < kMmaM; ++i)
#pragma unroll
      for (int j = 0; j < kMmaN; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          put(warp_m + 16 * i + lane / 4 + 8 * half, warp_n + 8 * j + lane % 4 * 2, acc[i][j][2 * half], acc[i][j][2 * half + 1]);
  };
  store_tile<Tiling::kM, Tiling::kN>(s, c, first_m, first_n, split, smem, for_each);
}

// ---- f32: fma ----

/// A thread has kThreadM × kThreadN of the block's kM × kN, kThreadsM rows and kThreadsN columns apart.
template <int kBlockM, int kBlockN, int kPerThreadM, int kPerThreadN, int kNumStages, int kProducers, int kBlocks>
struct FmaTiling {
  static constexpr int kMinBlocks = kBlocks;
  static constexpr int kM = kBlockM, kN = kBlockN, kThreadM = kPerThreadM, kThreadN = kPerThreadN, kStages = kNumStages;
  static constexpr int kThreadsM = kM / kThreadM, kThreadsN = kN / kThreadN, kConsumerThreads = kThreadsM * kThreadsN;
  static constexpr int kProducerThreads = kProducers, kThreads = kConsumerThreads + kProducerThreads;
  static constexpr size_t kSmemBytes = sizeof(float) * kStages * (kM + kN) * kBlockK<float>;
};
// Four blocks per multiprocessor would leave too few registers: steps took 1.3 times as long.
using FmaTiling16 = FmaTiling<16, 32, 4, 1, 8, 128, 3>;
using FmaTiling64 = FmaTiling<64, 64, 4, 4, 3, 128, 1>;

template <typename Tiling, typename Out, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Tiling::kThreads, Tiling::kMinBlocks)
    gemm_fma(const GemmShape s, const void* a_data, const void* b_data, void* c_data, const int copy_bytes_a,
             const int copy_bytes_b, const unsigned split) {
  static_assert(SmemAccumulators<Tiling::kM, Tiling::kN>::kBytes <= Tiling::kSmemBytes);
  constexpr int kThreadM = Tiling::kThreadM, kThreadN = Tiling::kThreadN;
  using Pipeline = GemmPipeline<Tiling, float, kAAlongK, kBAlongK>;
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  extern __shared__ __align__(16) unsigned char smem[];
  const float* const a = static_cast<const float*>(a_data) + blockIdx.z * s.a.batch_stride;
  const float* const b = static_cast<const float*>(b_data) + blockIdx.z * s.b.batch_stride;
  Out* const c = static_cast<Out*>(c_data) + blockIdx.z * s.c_batch_stride;
  const int64_t first_m = int64_t{Tiling::kM} * blockIdx.y, first_n = int64_t{Tiling::kN} * (blockIdx.x / split);
  const int row = static_cast<int>(threadIdx.x) / Tiling::kThreadsN, column = static_cast<int>(threadIdx.x) % Tiling::kThreadsN;
  const KSteps steps = k_steps<float>(s, split);
  Pipeline pipeline(s, steps, a, first_m, copy_bytes_a, b, first_n, copy_bytes_b, smem);
  float acc[kThreadM][kThreadN] = {};
  run_main_loop<Tiling>(pipeline, steps.count, [&](int step) {
    const float *const tile_a = pipeline.a(step), *const tile_b = pipeline.b(step);
#pragma unroll
    for (int k = 0; k < kBlockK<float>; k += 4) {
      float frag_a[kThreadM][4], frag_b[kThreadN][4];
#pragma unroll
      for (int i = 0; i < kThreadM; ++i) Pipeline::TileA::load_4(frag_a[i], tile_a, row + i * Tiling::kThreadsM, k);
#pragma unroll
      for (int j = 0; j < kThreadN; ++j) Pipeline::TileB::load_4(frag_b[j], tile_b, column + j * Tiling::kThreadsN, k);
#pragma unroll
      for (int element = 0; element < 4; ++element)
#pragma unroll
        for (int i = 0; i < kThreadM; ++i)
#pragma unroll
          for (int j = 0; j < kThreadN; ++j) acc[i][j] = fmaf(frag_a[i][element], frag_b[j][element], acc[i][j]);
    }
  });
  const auto for_each = [&](const auto& put) {
    if (threadIdx.x >= Tiling::kConsumerThreads) return;
#pragma unroll
    for (int i = 0; i < kThreadM; ++i)
#pragma unroll
      for (int j = 0; j < kThreadN; ++j) put(row + i * Tiling::kThreadsM, column + j * Tiling::kThreadsN, acc[i][j]);
  };
  store_tile<Tiling::kM, Tiling::kN>(s, c, first_m, first_n, split, smem, for_each);
}

// ---- tables ----

template <typename Tiling, typename In, typename Out, bool kAAlongK, bool kBAlongK>
constexpr GemmInstance gemm_mma_instance(int tile) {
  return {cuda::kDType<In>,
          cuda::kDType<Out>,
          tile,
          kAAlongK,
          kBAlongK,
          Tiling::kM,
          Tiling::kN,
          Tiling::kThreads,
          Tiling::kSmemBytes,
          gemm_mma<Tiling, In, Out, kAAlongK, kBAlongK>};
}

template <typename In, typename Out>
constexpr std::array<GemmInstance, 12> gemm_mma_instances() {
  return {
      gemm_mma_instance<MmaTiling16, In, Out, true, true>(16),    gemm_mma_instance<MmaTiling16, In, Out, true, false>(16),
      gemm_mma_instance<MmaTiling16, In, Out, false, true>(16),   gemm_mma_instance<MmaTiling16, In, Out, false, false>(16),
      gemm_mma_instance<MmaTiling64, In, Out, true, true>(64),    gemm_mma_instance<MmaTiling64, In, Out, true, false>(64),
      gemm_mma_instance<MmaTiling64, In, Out, false, true>(64),   gemm_mma_instance<MmaTiling64, In, Out, false, false>(64),
      gemm_mma_instance<MmaTiling128, In, Out, true, true>(128),  gemm_mma_instance<MmaTiling128, In, Out, true, false>(128),
      gemm_mma_instance<MmaTiling128, In, Out, false, true>(128), gemm_mma_instance<MmaTiling128, In, Out, false, false>(128)};
}

template <typename Tiling, typename Out, bool kAAlongK, bool kBAlongK>
constexpr GemmInstance gemm_fma_instance(int tile) {
  return {DType::f32,
          cuda::kDType<Out>,
          tile,
          kAAlongK,
          kBAlongK,
          Tiling::kM,
          Tiling::kN,
          Tiling::kThreads,
          Tiling::kSmemBytes,
          gemm_fma<Tiling, Out, kAAlongK, kBAlongK>};
}

template <typename Out>
constexpr std::array<GemmInstance, 8> gemm_fma_instances() {
  return {gemm_fma_instance<FmaTiling16, Out, true, true>(16),  gemm_fma_instance<FmaTiling16, Out, true, false>(16),
          gemm_fma_instance<FmaTiling16, Out, false, true>(16), gemm_fma_instance<FmaTiling16, Out, false, false>(16),
          gemm_fma_instance<FmaTiling64, Out, true, true>(64),  gemm_fma_instance<FmaTiling64, Out, true, false>(64),
          gemm_fma_instance<FmaTiling64, Out, false, true>(64), gemm_fma_instance<FmaTiling64, Out, false, false>(64)};
}

}  // namespace metallic::matmul
