// SPDX-License-Identifier: Apache-2.0
// Products of few columns as CUDA kernels see them, and their epilogue: sums over warps and cluster blocks in a fixed order.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ops/cuda/cluster.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/element.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"
#include "ops/problem.h"

namespace metallic::matmul {

using cuda::kWarpSize;
inline constexpr int kMaxColumns = 16;

/// Y = alpha·W·X + beta·Y: W[big, k] is the weights, X[k, n] the few columns; strides in elements.
struct GemvShape {
  int64_t big, k, n;
  int64_t w_stride;  ///< from one stored row of W to the next: along `big` if W is K-major, else along K
  int64_t w_batch_stride;
  int64_t x_stride_k, x_stride_n, x_batch_stride;
  int64_t y_stride_big, y_stride_n, y_batch_stride;
  float alpha, beta;

  explicit GemvShape(const MatmulShape& s)
      : big(s.big()), k(s.k), n(s.small()), y_batch_stride(s.batch_stride_c), alpha(s.alpha), beta(s.beta) {
    const bool w_is_a = s.weights_in_a();
    w_stride = w_is_a ? s.lda : s.ldb, w_batch_stride = w_is_a ? s.batch_stride_a : s.batch_stride_b;
    x_stride_k = w_is_a ? (s.tb ? 1 : s.ldb) : (s.ta ? s.lda : 1);
    x_stride_n = w_is_a ? (s.tb ? s.ldb : 1) : (s.ta ? 1 : s.lda);
    x_batch_stride = w_is_a ? s.batch_stride_b : s.batch_stride_a;
    y_stride_big = w_is_a ? s.ldc : 1, y_stride_n = w_is_a ? 1 : s.ldc;
  }
};

/// Whether the weights are K-major.
inline bool weights_along_k(const MatmulShape& s) { return s.weights_in_a() ? !s.ta : s.tb; }

/// Why no GEMV kernel takes a problem on a device, or nothing.
inline std::optional<std::string> refuses_columns(const Problem& problem, const DeviceInfo& device) {
  if (auto reason = cuda::refuses_device(device)) return reason;
  if (auto reason = refuses_packed(problem)) return reason;
  const MatmulShape& s = problem.as<MatmulShape>();
  if (s.small() > kMaxColumns) return "takes up to 16 columns";
  if (s.batch > 65535) return "more matrices than a grid has rows";
  if (s.big() > (int64_t{1} << 30) - 4) return "more rows than a grid has blocks";
  return std::nullopt;
}

/// Adds the accumulators of a block's first `warps` warps in their order, then, with split-K, of the cluster's blocks in rank
/// order, and stores the result. `put(to)` writes this thread's accumulators to its warp's [kRows][kColumns] of `smem`, which has
/// room for `warps` of them. Called by the block's first `threads` threads, for which `sync` is a barrier; with split-K by all.
template <int kRows, int kColumns, typename Out, typename Put, typename Sync>
__device__ void gemv_epilogue(const GemvShape& p, Out* y, int64_t first_row, unsigned split, int warps, int threads, float* smem,
                              const Put& put, const Sync& sync) {
  constexpr int kElements = kRows * kColumns;
  const int own_warp = static_cast<int>(threadIdx.x) / kWarpSize;
  sync();  // `smem` has been read
  if (own_warp < warps) put(smem + own_warp * kElements);
  sync();
  const auto block_sum = [&](const float* tiles, int i) {
    float sum = tiles[i];
    for (int warp = 1; warp < warps; ++warp) sum += tiles[warp * kElements + i];
    return sum;
  };
  const auto sum_at = [&](int i) {
#if __CUDA_ARCH__ >= 900
    if (split > 1) {
      float sum = 0;
      for (unsigned rank = 0; rank < split; ++rank) sum += *cooperative_groups::this_cluster().map_shared_rank(smem + i, rank);
      return sum;
    }
#endif
    return block_sum(smem, i);
  };
#if __CUDA_ARCH__ >= 900
  if (split > 1) {
    // Only the thread that replaces an element reads it, so no barrier is needed.
    for (int i = static_cast<int>(threadIdx.x); i < kElements; i += threads) smem[i] = block_sum(smem, i);
    cooperative_groups::this_cluster().sync();
  }
#endif
  const int rank = static_cast<int>(blockIdx.x % split);
  for (int i = static_cast<int>(threadIdx.x) + rank * threads; i < kElements; i += static_cast<int>(split) * threads) {
    const int64_t row = first_row + i / kColumns, column = i % kColumns;
    if (row >= p.big || column >= p.n) continue;
    Out& to = y[row * p.y_stride_big + column * p.y_stride_n];
    const float scaled = p.alpha * sum_at(i);
    to = cuda::from_float<Out>(p.beta == 0 ? scaled : fmaf(p.beta, cuda::to_float(to), scaled));
  }
  if (split > 1) cuda::cluster_sync_relaxed();
}

/// The same, called by all threads of a block.
template <int kRows, int kColumns, typename Out, typename Put>
__device__ void gemv_epilogue(const GemvShape& p, Out* y, int64_t first_row, unsigned split, int warps, float* smem,
                              const Put& put) {
  gemv_epilogue<kRows, kColumns>(p, y, first_row, split, warps, static_cast<int>(blockDim.x), smem, put, [] { __syncthreads(); });
}

}  // namespace metallic::matmul
