// SPDX-License-Identifier: Apache-2.0
// The kernel of cuda_vec: a row in the registers of some lanes of a warp, of a block, or of a cluster of blocks.
#pragma once

#include "ops/cuda/cluster.cuh"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/online_softmax.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/softmax/cuda_vec.h"
#include "ops/softmax/row_slice.cuh"

namespace metallic::softmax {

inline constexpr int kMaxTermsInRegisters = 40;  // of a thread

/// The threads of a row: a power of two below the warp size, with several rows per block along y; or a block; or a cluster.
template <typename In, typename Out, RowAlignment kAlignment, bool kClustered, int kChunks>
__global__ void __launch_bounds__(1024)
    softmax_vec(const SoftmaxRows s, const void* in_data, void* out_data, const unsigned cluster_size) {
  constexpr int kElements = cuda::kChunkElements<In>;
  // Scaling the terms by the sum instead of computing the exponentials again is accurate enough for 16-bit results.
  constexpr bool kKeepTerms = sizeof(Out) == 2 && kChunks * kElements <= kMaxTermsInRegisters;
  __shared__ cuda::ClusterAllGather<cuda::MaxSum> cluster;
  if constexpr (kClustered) cluster.init();
  cuda::grid_dependency_wait();
  cuda::grid_launch_dependents();
  int lane = static_cast<int>(threadIdx.x), lanes = static_cast<int>(blockDim.x);
  unsigned row = blockIdx.x * blockDim.y + threadIdx.y;
  if constexpr (kClustered) {
    row = blockIdx.x / cluster_size;
    lane += static_cast<int>(blockIdx.x % cluster_size) * lanes;
    lanes *= static_cast<int>(cluster_size);
  }
  const bool valid = row < s.rows;
  const RowSlice<In, kAlignment> slice(s, static_cast<const In*>(in_data), valid ? row : 0);
  cuda::Chunk<In> chunks[kChunks];
  slice.load(chunks, lane, lanes);

  // Exponentials are relative to the warp's maximum, so that warps exchange maximum and sum in one step.
  cuda::MaxSum own{cuda::warp_reduce_max(cuda::max_of(chunks), min(lanes, cuda::kWarpSize)), 0};
  const float base = own.max == -INFINITY ? 0.0f : own.max;
  float terms[kKeepTerms ? kChunks : 1][kElements];
  // Skips chunks beyond the row: few lanes have the last one, so many warps can.
  const auto for_chunks = [&](const auto& function) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c)
      if (const int position = (lane + c * lanes) * kElements; c == 0 || slice.contains(position))
        function(chunks[c], terms[kKeepTerms ? c : 0], position);
  };
  for_chunks([&](const cuda::Chunk<In>& chunk, float(&term)[kElements], int) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) {
      term[i] = s.exponential.approx(cuda::element(chunk, i) - base);
      own.sum += term[i];
    }
  });
  own.sum = cuda::warp_reduce_sum(own.sum, min(lanes, cuda::kWarpSize));
  cuda::MaxSum all = own;
  if (lanes > cuda::kWarpSize) {
    __shared__ cuda::MaxSum scratch[cuda::kWarpSize];
    all = cuda::block_combine(own, s.exponential, scratch);
    if constexpr (kClustered)
      all = cuda::warp_combine(cluster.gather(all, blockIdx.x % cluster_size, cluster_size), cluster_size, s.exponential);
  }
  if (!valid) return;
  Out* const y = static_cast<Out*>(out_data) + row * s.out_stride;
  if constexpr (kKeepTerms) {
    const float factor = cuda::rescale(own.max, all.max, s.exponential) / all.sum;
    for_chunks([&](const cuda::Chunk<In>&, float(&term)[kElements], int position) {
#pragma unroll
      for (int i = 0; i < kElements; ++i) term[i] *= factor;
      slice.store(term, y, position);
    });
  } else {
    const Normalization<Out> normalization(all);
    for_chunks([&](const cuda::Chunk<In>& chunk, float(&)[kElements], int position) {
      normalization.store(slice, chunk, y, position, s.exponential);
    });
  }
}

template <typename In, typename Out, RowAlignment kAlignment, bool kClustered, int kChunks>
constexpr VecInstance vec_instance() {
  return {cuda::kDType<In>, cuda::kDType<Out>, kAlignment,
          kClustered,       kChunks,           softmax_vec<In, Out, kAlignment, kClustered, kChunks>};
}

/// Not every number of chunks has a kernel. Rows that are not aligned may need one chunk more than a tuning asks for.
template <typename In, typename Out>
constexpr std::array<VecInstance, 22> vec_instances() {
  constexpr RowAlignment kAligned = RowAlignment::aligned, kAny = RowAlignment::any;
  return {vec_instance<In, Out, kAligned, false, 1>(), vec_instance<In, Out, kAligned, false, 2>(),
          vec_instance<In, Out, kAligned, false, 3>(), vec_instance<In, Out, kAligned, false, 4>(),
          vec_instance<In, Out, kAligned, false, 6>(), vec_instance<In, Out, kAligned, false, 8>(),
          vec_instance<In, Out, kAny, false, 1>(),     vec_instance<In, Out, kAny, false, 2>(),
          vec_instance<In, Out, kAny, false, 3>(),     vec_instance<In, Out, kAny, false, 4>(),
          vec_instance<In, Out, kAny, false, 5>(),     vec_instance<In, Out, kAny, false, 7>(),
          vec_instance<In, Out, kAny, false, 9>(),     vec_instance<In, Out, kAligned, true, 1>(),
          vec_instance<In, Out, kAligned, true, 2>(),  vec_instance<In, Out, kAligned, true, 4>(),
          vec_instance<In, Out, kAligned, true, 8>(),  vec_instance<In, Out, kAny, true, 1>(),
          vec_instance<In, Out, kAny, true, 2>(),      vec_instance<In, Out, kAny, true, 3>(),
          vec_instance<In, Out, kAny, true, 5>(),      vec_instance<In, Out, kAny, true, 9>()};
}

/// Concatenates the tables of several output types.
template <size_t kTables>
constexpr std::array<VecInstance, 22 * kTables> concatenate(const std::array<VecInstance, 22> (&tables)[kTables]) {
  std::array<VecInstance, 22 * kTables> all{};
  for (size_t i = 0; i < all.size(); ++i) all[i] = tables[i / 22][i % 22];
  return all;
}

}  // namespace metallic::softmax
