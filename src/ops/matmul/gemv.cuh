// What CUDA's matmuls of few columns share: the product as they see it, and sums over the warps of a block and the blocks of a
// cluster in a fixed order.
#pragma once

#include <cooperative_groups.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ops/problem.h"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/element.cuh"
#include "ops/matmul/contract.h"

namespace metallic::matmul {

inline constexpr int kWarp = 32;
inline constexpr int kMostColumns = 16;

/// Y = alpha·W·X + beta·Y: W[big, k] is the weights, X[k, n] the columns; strides in elements.
struct Product {
  int64_t big, k, n;
  int64_t w_row, w_batch;  ///< from one stored row of W to the next: along `big`, or along K
  int64_t x_k, x_column, x_batch;
  int64_t y_big, y_column, y_batch;
  float alpha, beta;

  explicit Product(const MatmulShape& s)
      : big(s.big()), k(s.k), n(s.small()), y_batch(s.batch_stride_c), alpha(s.alpha), beta(s.beta) {
    const bool in_a = s.weights_in_a();
    w_row = in_a ? s.lda : s.ldb, w_batch = in_a ? s.batch_stride_a : s.batch_stride_b;
    x_k = in_a ? (s.tb ? 1 : s.ldb) : (s.ta ? s.lda : 1), x_column = in_a ? (s.tb ? s.ldb : 1) : (s.ta ? 1 : s.lda);
    x_batch = in_a ? s.batch_stride_b : s.batch_stride_a;
    y_big = in_a ? s.ldc : 1, y_column = in_a ? 1 : s.ldc;
  }
};

/// Whether rows of weights lie along K.
inline bool along_k(const MatmulShape& s) { return s.weights_in_a() ? !s.ta : s.tb; }

/// Why neither kernel takes a problem on a device, or nothing.
inline std::optional<std::string> refuses_columns(const Problem& problem, const DeviceInfo& device) {
  if (auto reason = cuda::refuses_device(device)) return reason;
  if (auto reason = refuses_packed(problem)) return reason;
  const MatmulShape& s = problem.matmul();
  if (s.small() > kMostColumns) return "takes up to 16 columns";
  if (s.batch > 65535) return "more matrices than a grid has rows";
  if (s.big() > (int64_t{1} << 30) - 4) return "more rows than a grid has blocks";
  return std::nullopt;
}

/// Adds the tiles of a block's first `warps` warps in their order, then of a cluster's blocks, and stores the result. `put` puts
/// this thread's part of its warp's tile, [kRows][kColumns] in shared memory, of which there is one for each of them. The first
/// `threads` threads of the block come here, for which `sync` is a barrier; those of a cluster all.
template <int kRows, int kColumns, typename Out, typename Put, typename Sync>
__device__ void finish(const Product& p, Out* y, int64_t first_row, unsigned split, int warps, int threads, float* tiles,
                       const Put& put, const Sync& sync) {
  constexpr int kElements = kRows * kColumns;
  const int own = static_cast<int>(threadIdx.x) / kWarp;
  sync();  // what the memory held was read
  if (own < warps) put(tiles + own * kElements);
  sync();
  const auto of_block = [&](const float* of_tiles, int i) {
    float sum = of_tiles[i];
    for (int warp = 1; warp < warps; ++warp) sum += of_tiles[warp * kElements + i];
    return sum;
  };
  const auto sum_at = [&](int i) {
#if __CUDA_ARCH__ >= 900
    if (split > 1) {
      float sum = 0;
      for (unsigned part = 0; part < split; ++part) sum += *cooperative_groups::this_cluster().map_shared_rank(tiles + i, part);
      return sum;
    }
#endif
    return of_block(tiles, i);
  };
#if __CUDA_ARCH__ >= 900
  if (split > 1) {
    // Each element is read by the thread that replaces it, so that nothing need wait.
    for (int i = static_cast<int>(threadIdx.x); i < kElements; i += threads) tiles[i] = of_block(tiles, i);
    cooperative_groups::this_cluster().sync();
  }
#endif
  const int part = static_cast<int>(blockIdx.x % split);
  for (int i = static_cast<int>(threadIdx.x) + part * threads; i < kElements; i += static_cast<int>(split) * threads) {
    const int64_t row = first_row + i / kColumns, column = i % kColumns;
    if (row >= p.big || column >= p.n) continue;
    Out& to = y[row * p.y_big + column * p.y_column];
    const float scaled = p.alpha * sum_at(i);
    to = cuda::from_float<Out>(p.beta == 0 ? scaled : fmaf(p.beta, cuda::to_float(to), scaled));
  }
  if (split > 1) cuda::leave_cluster();
}

/// The same by all threads of a block.
template <int kRows, int kColumns, typename Out, typename Put>
__device__ void finish(const Product& p, Out* y, int64_t first_row, unsigned split, int warps, float* tiles, const Put& put) {
  finish<kRows, kColumns>(p, y, first_row, split, warps, static_cast<int>(blockDim.x), tiles, put, [] { __syncthreads(); });
}

}  // namespace metallic::matmul
