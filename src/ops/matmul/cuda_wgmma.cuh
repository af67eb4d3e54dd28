// SPDX-License-Identifier: Apache-2.0
// The kernels of cuda_wgmma: two consumer warpgroups compute a tile of C from a pipeline filled by TMA, or by cp.async.
#pragma once

#include "ops/cuda/launch.cuh"
#include "ops/cuda/mbarrier.cuh"
#include "ops/cuda/tma.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/cuda/wgmma.cuh"
#include "ops/matmul/cp_async_pipeline.cuh"
#include "ops/matmul/cuda_wgmma.h"
#include "ops/matmul/epilogue.cuh"

namespace metallic::matmul {

inline constexpr int kConsumerThreads = 2 * cuda::kWarpgroupSize;  // each warpgroup has half of the tile's rows

/// A block has kM × kN of C. kStages leaves shared memory for a second block of the SM if C has few columns; kMaxStages
/// does not.
template <int kBlockM, int kBlockN>
struct WgmmaTiling {
  static constexpr int kM = kBlockM, kN = kBlockN;
  static constexpr int kStages = kN == 32 ? 5 : kN == 64 || kM == 256 ? 4 : 6, kMaxStages = kN < 128 ? 2 * kStages : kStages;
  static constexpr size_t kStageBytes = sizeof(__half) * (kM + kN) * kBlockK<__half>;
  // The largest tile has no registers to spare for split-K. Its producer is a whole warpgroup, since setmaxnreg can move
  // registers only between warpgroups.
  static constexpr bool kSplitK = kM < 256;
  static constexpr int kProducerThreads = kSplitK ? cuda::kWarpSize : cuda::kWarpgroupSize;
  static constexpr int kTmaThreads = kConsumerThreads + kProducerThreads;
  static_assert(!kSplitK || SmemAccumulators<kM, kN>::kBytes <= kStages * kStageBytes);
};

template <typename Tiling, typename T>
using WgmmaPipeline = CpAsyncPipeline<T, Tiling::kM, true, Tiling::kN, true, Tiling::kStages, 0, kConsumerThreads>;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
/// Issues the products of a K step as one wgmma group: this warpgroup's rows of A's stage, times B's stage.
template <typename In, int kTilesM, int kCount>
__device__ void issue_k_step(float (&acc)[kTilesM][kCount], const In* stage_a, const In* stage_b) {
  constexpr int kUnit = 16 / sizeof(In);  // elements per unit of a descriptor
  const uint64_t desc_a = cuda::make_smem_descriptor_128b_swizzle(stage_a);
  const uint64_t desc_b = cuda::make_smem_descriptor_128b_swizzle(stage_b);
  cuda::wgmma_fence();
#pragma unroll
  for (int k = 0; k < kBlockK<In>; k += 16)
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
      cuda::wgmma_m64k16<In>(acc[i], desc_a + (64 * i * kBlockK<In> + k) / kUnit, desc_b + k / kUnit);
  cuda::wgmma_commit_group();
}

/// Stores the tile at (first_m, first_n), after the split-K reduction over the cluster.
template <typename Tiling, typename Out, int kTilesM, int kCount>
__device__ void wgmma_epilogue(const GemmShape& s, Out* c, float (&acc)[kTilesM][kCount], int64_t first_m, int64_t first_n,
                               unsigned split, unsigned char* smem) {
#pragma unroll
  for (int i = 0; i < kTilesM; ++i) cuda::wgmma_fence_operand(acc[i]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int row = thread / 128 * (Tiling::kM / 2) + thread % 128 / 32 * 16 + lane / 4, column = lane % 4 * 2;
  const auto for_each = [&](const auto& put) {
    if (thread >= kConsumerThreads) return;
#pragma unroll
    for (int i = 0; i < kTilesM; ++i)
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          put(row + 64 * i + 8 * half, column + 8 * j, acc[i][4 * j + 2 * half], acc[i][4 * j + 2 * half + 1]);
  };
  if constexpr (Tiling::kSplitK)
    store_tile<Tiling::kM, Tiling::kN>(s, c, first_m, first_n, split, smem, for_each);
  else
    for_each(GlobalTile<Out>{s, c, first_m, first_n});
}
#endif

/// For operands whose rows are not aligned to 16 bytes: the consumers themselves copy with cp.async, kStages − 2 steps ahead.
template <typename Tiling, typename In, typename Out>
__global__ void __launch_bounds__(kConsumerThreads, 1)
    wgmma_cp_async(const GemmShape s, const void* a_data, const void* b_data, void* c_data, const int copy_bytes_a,
                   const int copy_bytes_b, const unsigned split) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  extern __shared__ __align__(1024) unsigned char smem[];
  const In* const a = static_cast<const In*>(a_data) + blockIdx.z * s.a.batch_stride;
  const In* const b = static_cast<const In*>(b_data) + blockIdx.z * s.b.batch_stride;
  Out* const c = static_cast<Out*>(c_data) + blockIdx.z * s.c_batch_stride;
  const int64_t first_m = int64_t{Tiling::kM} * blockIdx.y, first_n = int64_t{Tiling::kN} * (blockIdx.x / split);
  const int warpgroup_m = static_cast<int>(threadIdx.x) / 128 * (Tiling::kM / 2);
  const KSteps steps = k_steps<In>(s, split);
  WgmmaPipeline<Tiling, In> pipeline(s, steps, a, first_m, copy_bytes_a, b, first_n, copy_bytes_b, smem);
  float acc[Tiling::kM / 128][Tiling::kN / 2] = {};
  pipeline.prologue();
  for (int step = 0; step < Tiling::kStages - 2; ++step) pipeline.load(step);
  for (int step = 0; step < steps.count; ++step) {
    cuda::cp_async_wait_group<Tiling::kStages - 3>();
    cuda::fence_proxy_async_shared();
    // This step's stage is full. The stage of two steps ago is empty: every thread here has waited for its products.
    __syncthreads();
    issue_k_step(acc, pipeline.a(step) + warpgroup_m * kBlockK<In>, pipeline.b(step));
    pipeline.load(step + Tiling::kStages - 2);
    cuda::wgmma_wait_group<1>();
  }
  cuda::wgmma_wait_group<0>();
  wgmma_epilogue<Tiling>(s, c, acc, first_m, first_n, split, smem);
#else
  __trap();  // rather than leave C unwritten
#endif
}

/// Warp-specialized: one producer thread fills the stages with TMA, two consumer warpgroups compute.
template <typename Tiling, typename In, typename Out>
__global__ void __launch_bounds__(Tiling::kTmaThreads, 1)
    wgmma_tma(const __grid_constant__ CUtensorMap map_a, const __grid_constant__ CUtensorMap map_b, const GemmShape s,
              void* c_data, const unsigned split, const int stages) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kTileA = Tiling::kM * kBlockK<In>, kStage = kTileA + Tiling::kN * kBlockK<In>;  // elements
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ cuda::Mbarrier full_barriers[Tiling::kMaxStages], empty_barriers[Tiling::kMaxStages];
  if (threadIdx.x == 0)
    for (int i = 0; i < stages; ++i) full_barriers[i].init(1), empty_barriers[i].init(kConsumerThreads / 32);
  __syncthreads();
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  In* const tiles = reinterpret_cast<In*>(smem);
  const int first_m = Tiling::kM * static_cast<int>(blockIdx.y), first_n = Tiling::kN * static_cast<int>(blockIdx.x / split);
  const KSteps steps = k_steps<In>(s, split);
  float acc[Tiling::kM / 128][Tiling::kN / 2] = {};
  int stage = 0;
  unsigned phase = 0;
  const auto next_stage = [&] {
    if (++stage == stages) stage = 0, ++phase;
  };
  if (threadIdx.x >= kConsumerThreads) {
    // Producer.
    if constexpr (!Tiling::kSplitK) cuda::warpgroup_reg_dealloc<24>();
    for (int step = 0; threadIdx.x == kConsumerThreads && step < steps.count; ++step, next_stage()) {
      if (phase > 0) empty_barriers[stage].wait(phase - 1);
      full_barriers[stage].arrive_and_expect_tx(kStage * sizeof(In));
      const int k = kBlockK<In> * (steps.first + step * steps.stride), matrix = static_cast<int>(blockIdx.z);
      cuda::tma_load_3d(tiles + stage * kStage, &map_a, full_barriers[stage], k, first_m, matrix);
      cuda::tma_load_3d(tiles + stage * kStage + kTileA, &map_b, full_barriers[stage], k, first_n, matrix);
    }
    if constexpr (!Tiling::kSplitK) return;
  } else {
    // Consumers.
    if constexpr (!Tiling::kSplitK) cuda::warpgroup_reg_alloc<240>();
    const int warpgroup_m = static_cast<int>(threadIdx.x) / 128 * (Tiling::kM / 2);
    int previous_stage = 0;
    for (int step = 0; step < steps.count; ++step, next_stage()) {
      full_barriers[stage].wait(phase);
      issue_k_step(acc, tiles + stage * kStage + warpgroup_m * kBlockK<In>, tiles + stage * kStage + kTileA);
      if (step > 0) {
        cuda::wgmma_wait_group<1>();  // the previous step's products
        if (threadIdx.x % 32 == 0) empty_barriers[previous_stage].arrive();
      }
      previous_stage = stage;
    }
    cuda::wgmma_wait_group<0>();
  }
  wgmma_epilogue<Tiling>(s, static_cast<Out*>(c_data) + blockIdx.z * s.c_batch_stride, acc, first_m, first_n, split, smem);
#else
  __trap();  // rather than leave C unwritten
#endif
}

template <typename Tiling, typename In, typename Out>
constexpr WgmmaInstance wgmma_instance() {
  return {cuda::kDType<In>,          cuda::kDType<Out>,   Tiling::kM,       Tiling::kN,          Tiling::kStages,
          Tiling::kMaxStages,        Tiling::kStageBytes, kConsumerThreads, Tiling::kTmaThreads, wgmma_cp_async<Tiling, In, Out>,
          wgmma_tma<Tiling, In, Out>};
}

template <typename In, typename Out>
constexpr std::array<WgmmaInstance, 4> wgmma_instances() {
  return {wgmma_instance<WgmmaTiling<128, 32>, In, Out>(), wgmma_instance<WgmmaTiling<128, 64>, In, Out>(),
          wgmma_instance<WgmmaTiling<128, 128>, In, Out>(), wgmma_instance<WgmmaTiling<256, 128>, In, Out>()};
}

}  // namespace metallic::matmul
