// Blocks of a cluster that share K of one tile of C: their sums, added in the blocks' order.
#pragma once

#include <cooperative_groups.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "device/info.h"
#include "ops/cuda/cluster.cuh"
#include "ops/matmul/tiles.cuh"

namespace metallic::matmul {

/// How many parts of `by` something is cut into.
inline int64_t split_up(int64_t x, int64_t by) { return (x + by - 1) / by; }

/// Why `split` blocks do not share K of `steps` steps, or nothing; `tiles` are what C is cut into.
inline std::optional<std::string> refuses_split(int64_t split, int64_t steps, int64_t tiles, const DeviceInfo& device) {
  if (split == 1) return std::nullopt;
  if (device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
  if (split > steps) return "K has fewer steps than blocks that share it";
  if (split * tiles > 8 * device.cuda().num_sms) return "K is shared where tiles are few";
  return std::nullopt;
}

/// What sharing adds to the name of an order of summation.
inline std::string of_split(int64_t split) { return split == 1 ? "" : fmt::format("split={};", split); }

/// The most blocks that share K.
inline constexpr int kMostSplit = 8;

/// Where a thread puts what it has of a tile: sums, or two at neighbouring columns, the first of which is even.
template <typename Out>
struct ToResult {
  const Shape& s;
  Out* c;
  int64_t first_m, first_n;
  __device__ void operator()(int row, int column, float sum) const { store(s, c, first_m + row, first_n + column, sum); }
  __device__ void operator()(int row, int column, float first, float second) const {
    store_neighbours(s, c, first_m + row, first_n + column, first, second, true);
  }
};

/// A tile of sums in shared memory, along the dimension in which C has no gaps. What a warp puts, in the order of tensor cores,
/// lies in different banks.
template <int kM, int kN>
struct TileOfSums {
  static constexpr int kRow = kN + 8, kColumn = kM + 4;
  static constexpr size_t kBytes = sizeof(float) * std::max(kM * kRow, kN* kColumn);
  float* sums;
  bool along_n;

  __device__ float* at(int row, int column) const { return sums + (along_n ? row * kRow + column : column * kColumn + row); }
  __device__ void operator()(int row, int column, float sum) const { *at(row, column) = sum; }
  __device__ void operator()(int row, int column, float first, float second) const {
    if (along_n)
      *reinterpret_cast<float2*>(at(row, column)) = {first, second};
    else
      *at(row, column) = first, *at(row, column + 1) = second;
  }
};

/// Stores the kM × kN of C from (first_m, first_n) on, of which each of a cluster's `split` blocks has sums. `for_sums(put)` puts
/// what this thread has of its block's; all threads of all blocks come here. What does not go straight to C passes through
/// `memory`, where the operands may have been.
template <int kM, int kN, typename Out, typename ForSums>
__device__ void store_tile(const Shape& s, Out* c, int64_t first_m, int64_t first_n, unsigned split, unsigned char* memory,
                           const ForSums& for_sums) {
  const TileOfSums<kM, kN> tile{reinterpret_cast<float*>(memory), s.c_n == 1};
  if (split == 1 && tile.along_n) {
    for_sums(ToResult<Out>{s, c, first_m, first_n});
    return;
  }
  __syncthreads();  // what the memory held was read
  for_sums(tile);
#if __CUDA_ARCH__ >= 900
  if (split > 1)
    cooperative_groups::this_cluster().sync();
  else
#endif
    __syncthreads();
  // Each block stores a part of the tile. Sums of other blocks are on their way together, then added in the blocks' order.
  const int threads = static_cast<int>(blockDim.x), part = static_cast<int>(blockIdx.x % split);
  for (int i = static_cast<int>(threadIdx.x) + part * threads; i < kM * kN / 2; i += static_cast<int>(split) * threads) {
    const int row = tile.along_n ? i / (kN / 2) : 2 * (i % (kM / 2)), column = tile.along_n ? 2 * (i % (kN / 2)) : i / (kM / 2);
    if (first_m + row >= s.m || first_n + column >= s.n) continue;  // a load whose value nobody waits for may outlive its block
    float* const own = tile.at(row, column);
    float2 pairs[kMostSplit] = {};
#pragma unroll
    for (int from = 0; from < kMostSplit; ++from) {
      if (from >= static_cast<int>(split)) break;
#if __CUDA_ARCH__ >= 900
      pairs[from] =
          *reinterpret_cast<const float2*>(split == 1 ? own : cooperative_groups::this_cluster().map_shared_rank(own, from));
#else
      pairs[from] = *reinterpret_cast<const float2*>(own);
#endif
    }
    float2 sum = pairs[0];
#pragma unroll
    for (int from = 1; from < kMostSplit; ++from) sum.x += pairs[from].x, sum.y += pairs[from].y;
    store_neighbours(s, c, first_m + row, first_n + column, sum.x, sum.y, tile.along_n);
  }
  if (split > 1) cuda::leave_cluster();
}

}  // namespace metallic::matmul
