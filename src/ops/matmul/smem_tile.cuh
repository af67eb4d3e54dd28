// SPDX-License-Identifier: Apache-2.0
// The swizzled layout of an operand tile in shared memory, and how threads read mma fragments from it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/cuda/element.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/matmul/gemm_shape.cuh"

namespace metallic::matmul {

/// A tile of kRows × kBlockK, stored as kRows rows along K (K-major), or as kBlockK rows along the other dimension. 16-byte
/// chunks are swizzled: chunk c of row r is at chunk c ^ (r % 8), so that equal chunks of eight rows are in different banks. A
/// K-major tile of 16-bit elements has the layout of TMA's and wgmma's 128-byte swizzle.
template <typename T, int kRows, bool kAlongK>
struct SmemTile {
  static constexpr int kChunkElements = cuda::kChunkElements<T>;
  static constexpr int kStoredRows = kAlongK ? kRows : kBlockK<T>, kRowChunks = (kAlongK ? kBlockK<T> : kRows) / kChunkElements;
  static constexpr int kElements = kRows * kBlockK<T>;
  static constexpr int kSwizzle = std::min(kRowChunks, 8);  // short rows share a line of banks

  /// The element offset of a chunk.
  __device__ static int offset(int stored_row, int chunk) {
    return (stored_row * kRowChunks + (chunk ^ stored_row * kSwizzle / 8 % kSwizzle)) * kChunkElements;
  }

  /// Reads four floats of a row along K.
  __device__ static void load_4(float (&to)[4], const float* tile, int row, int k) {
    if constexpr (kAlongK) {
      const float4 all = *reinterpret_cast<const float4*>(tile + offset(row, k / 4));
      to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] = tile[offset(k + i, row / 4) + row % 4];
    }
  }

  /// Reads the fragments of 16 rows × 16 K in the order of mma's operand A: rows 0–7 and 8–15 of the first eight K, then of the
  /// other eight.
  __device__ static void load_fragments(unsigned (&fragments)[4], const T* tile, int row, int k) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int stored_row, chunk;
    if constexpr (kAlongK)
      stored_row = row + lane % 16, chunk = k / kChunkElements + lane / 16;
    else
      stored_row = k + lane % 8 + lane / 16 * 8, chunk = row / kChunkElements + lane / 8 % 2;
    const auto address =
        static_cast<unsigned>(__cvta_generic_to_shared(tile)) + static_cast<unsigned>(sizeof(T) * offset(stored_row, chunk));
    if constexpr (kAlongK)
      cuda::ldmatrix_x4(fragments, address);
    else
      cuda::ldmatrix_x4_trans(fragments, address);
  }
};

}  // namespace metallic::matmul
