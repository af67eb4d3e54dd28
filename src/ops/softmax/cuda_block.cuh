// SPDX-License-Identifier: Apache-2.0
// The kernels of cuda_block: rows staged in shared memory by persistent blocks, and rows split into segments over the grid.
#pragma once

#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/online_softmax.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/softmax/cuda_block.h"
#include "ops/softmax/row_slice.cuh"

namespace metallic::softmax {

inline constexpr int kChunksTogether = 2;  // that a thread processes at once

/// Persistent blocks, each with a cp.async pipeline of kBlockStages rows. A row is reduced before the row before it is stored, so
/// that copies, arithmetic and stores overlap. One block per row, which does them in turn, reaches 0.55 of the speed of a copy.
template <typename In, typename Out, RowAlignment kAlignment>
__global__ void __launch_bounds__(512, 2)
    softmax_block(const SoftmaxRows s, const void* in_data, void* out_data, const int row_chunks, const int stage_chunks) {
  constexpr int kElements = cuda::kChunkElements<In>;
  using Slice = RowSlice<In, kAlignment>;
  extern __shared__ uint4 smem[];
  // Two, used in turn: who writes one knows that all have read it before they arrived at the other's barrier.
  __shared__ cuda::MaxSum scratch[2][cuda::kWarpSize];
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  const In* const in = static_cast<const In*>(in_data);
  const unsigned row_stride = gridDim.x;
  const int step = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const auto stage = [&](int iteration) { return smem + iteration % kBlockStages * stage_chunks; };
  // Each thread reads only the chunks that it copied, so the pipeline needs no barrier.
  const auto load = [&](unsigned row, int iteration) {
    if (row < s.rows) {
      const Slice slice(s, in, row, 0, row_chunks);
      uint4* const to = stage(iteration);
      for (int chunk = thread; chunk < min(slice.chunks, stage_chunks); chunk += step)
        if (slice.is_vectorized(chunk * kElements)) cuda::cp_async<16>(to + chunk, slice.data + chunk * kElements);
    }
    cuda::cp_async_commit_group();
  };
  // Calls function(chunks, first) for a row's chunks, kChunksTogether at once: from the stage as far as whole iterations are
  // there, the others from global memory.
  const auto for_chunks = [&](const Slice& slice, int iteration, const auto& function) {
    const uint4* const staged = stage(iteration);
    cuda::Chunk<In> chunks[kChunksTogether];
    int chunk = thread;
    const int end =
        slice.chunks <= stage_chunks ? slice.chunks : stage_chunks / (kChunksTogether * step) * (kChunksTogether * step);
    for (; chunk < end; chunk += kChunksTogether * step) {
#pragma unroll
      for (int c = 0; c < kChunksTogether; ++c) chunks[c].bits = staged[chunk + c * step < end ? chunk + c * step : chunk];
#pragma unroll
      for (int c = 0; c < kChunksTogether; ++c) slice.complete(chunks[c], (chunk + c * step) * kElements);
      function(chunks, chunk);
    }
    for (; chunk < slice.chunks; chunk += kChunksTogether * step) {
      slice.load(chunks, chunk, step);
      function(chunks, chunk);
    }
  };
  const auto reduce = [&](unsigned row, int iteration) {
    const Slice slice(s, in, row, 0, row_chunks);
    cuda::cp_async_wait_group<kBlockStages - 2>();
    cuda::MaxSum own{-INFINITY, 0};
    for_chunks(slice, iteration,
               [&](const cuda::Chunk<In>(&chunks)[kChunksTogether], int) { accumulate(own, chunks, s.exponential); });
    return cuda::block_combine(cuda::warp_combine(own, s.exponential), s.exponential, scratch[iteration % 2]);
  };

  unsigned row = blockIdx.x;
  for (int i = 0; i < kBlockStages; ++i) load(row + i * row_stride, i);
  cuda::MaxSum all = reduce(row, 0);
  for (int i = 0; row < s.rows; row += row_stride, ++i) {
    const unsigned next_row = row + row_stride;
    cuda::MaxSum next_all{-INFINITY, 0};
    if (next_row < s.rows) next_all = reduce(next_row, i + 1);
    const Normalization<Out> normalization(all);
    const Slice slice(s, in, row, 0, row_chunks);
    Out* const y = static_cast<Out*>(out_data) + row * s.out_stride;
    for_chunks(slice, i, [&](const cuda::Chunk<In>(&chunks)[kChunksTogether], int chunk) {
#pragma unroll
      for (int c = 0; c < kChunksTogether; ++c)
        normalization.store(slice, chunks[c], y, (chunk + c * step) * kElements, s.exponential);
    });
    load(row + kBlockStages * row_stride, i + kBlockStages);
    all = next_all;
  }
}

inline constexpr int kChunksInFlight = 4;  // of a thread in the segment kernels

template <typename In>
__global__ void __launch_bounds__(512) softmax_segment_reduce(const SoftmaxRows s, const void* in_data, cuda::MaxSum* pairs,
                                                              const int segment_chunks, const unsigned segments) {
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  const RowSlice<In, RowAlignment::any> slice(s, static_cast<const In*>(in_data), blockIdx.x / segments, blockIdx.x % segments,
                                              segment_chunks);
  const int step = static_cast<int>(blockDim.x);
  cuda::MaxSum own{-INFINITY, 0};
  for (int chunk = static_cast<int>(threadIdx.x); chunk < slice.chunks; chunk += kChunksInFlight * step) {
    cuda::Chunk<In> chunks[kChunksInFlight];
    slice.load(chunks, chunk, step);
    accumulate(own, chunks, s.exponential);
  }
  __shared__ cuda::MaxSum scratch[cuda::kWarpSize];
  const cuda::MaxSum all = cuda::block_combine(cuda::warp_combine(own, s.exponential), s.exponential, scratch);
  if (threadIdx.x == 0) pairs[blockIdx.x] = all;
}

template <typename In, typename Out>
__global__ void __launch_bounds__(512)
    softmax_segment_normalize(const SoftmaxRows s, const void* in_data, void* out_data, const cuda::MaxSum* pairs,
                              const int segment_chunks, const unsigned segments) {
  const unsigned row = blockIdx.x / segments;
  const RowSlice<In, RowAlignment::any> slice(s, static_cast<const In*>(in_data), row, blockIdx.x % segments, segment_chunks);
  const int step = static_cast<int>(blockDim.x);
  // Loads before grid_dependency_wait. That is safe: the reduce kernel launched this one after it had itself waited for all
  // earlier kernels, so only the pairs are not there yet.
  cuda::Chunk<In> chunks[kChunksInFlight];
  slice.load(chunks, static_cast<int>(threadIdx.x), step);
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  cuda::MaxSum all{-INFINITY, 0};
  for (unsigned first = 0; first < segments; first += cuda::kWarpSize) {
    const unsigned segment = first + threadIdx.x % cuda::kWarpSize;
    const cuda::MaxSum some =
        cuda::warp_combine(segment < segments ? pairs[row * segments + segment] : cuda::MaxSum{-INFINITY, 0}, s.exponential);
    const float max = fmaxf(all.max, some.max);
    all = {max, all.sum * cuda::rescale(all.max, max, s.exponential) + some.sum * cuda::rescale(some.max, max, s.exponential)};
  }
  const Normalization<Out> normalization(all);
  Out* const y = static_cast<Out*>(out_data) + row * s.out_stride;
  for (int chunk = static_cast<int>(threadIdx.x); chunk < slice.chunks; chunk += kChunksInFlight * step) {
    if (chunk >= kChunksInFlight * step) slice.load(chunks, chunk, step);
#pragma unroll
    for (int c = 0; c < kChunksInFlight; ++c)
      normalization.store(slice, chunks[c], y, (chunk + c * step) * cuda::kChunkElements<In>, s.exponential);
  }
}

template <typename In, typename Out, RowAlignment kAlignment>
inline constexpr BlockInstance kBlockInstance = {cuda::kDType<In>, cuda::kDType<Out>, kAlignment,
                                                 softmax_block<In, Out, kAlignment>};

template <typename In, typename Out>
inline constexpr SegmentInstance kSegmentInstance = {cuda::kDType<In>, cuda::kDType<Out>, softmax_segment_reduce<In>,
                                                     softmax_segment_normalize<In, Out>};

}  // namespace metallic::softmax
