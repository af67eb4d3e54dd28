// SPDX-License-Identifier: Apache-2.0
// GEMV by sums of scaled rows (axpy), for weights whose rows are contiguous along the big dimension. A segment of the results
// stays in the first cache level for all of K. Only K fixes the order in which the terms of a result are added.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_GEMV_AXPY_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_GEMV_AXPY_INL_H
#undef METALLIC_OPS_MATMUL_GEMV_AXPY_INL_H
#else
#define METALLIC_OPS_MATMUL_GEMV_AXPY_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/math.h"
#include "ops/matmul/gemv-inl.h"
#include "ops/matmul/gemv_kernel.h"
#include "ops/simd/prefetch.h"
#include "ops/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

/// A block of K for a segment of results: sums[j·stride + i] += Σ over rows k of W of W[k][i]·X[k][j].
struct AxpyBlock {
  int64_t w_row;              ///< from one row of W to the next
  int64_t rows;               ///< rows of W in the block: its elements of K
  int64_t prefetch_distance;  ///< in elements of W; 0 after the last block
  int64_t x_step;             ///< from one row of X to the next
  int64_t width;              ///< elements of the segment
  int64_t stride;             ///< from one column's sums to the next
};

// The micro-kernel: kVecs vectors of the segment, or the first `count` lanes of one, times kColumns columns.
template <typename T, int kVecs, int kColumns, bool kPartial>
HWY_INLINE void axpy_tile(const AxpyBlock& block, const T* HWY_RESTRICT w, const float* HWY_RESTRICT x, float* HWY_RESTRICT sums,
                          size_t count) {
  const Lane d;
  using V = hn::Vec<Lane>;
  const int64_t ahead = block.prefetch_distance, stride = block.stride;
  constexpr int64_t kLine = 64 / sizeof(T);
  V sum[kColumns][kVecs];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sum[j][v] = hn::Load(d, sums + j * stride + v * kLanes);
  for (int64_t k = 0; k < block.rows; ++k) {
    // Every row of a segment is in another page, which the hardware prefetchers do not foresee.
    const auto vector = [&](int v) HWY_ATTR {
      if (!kPartial && v * kLanes % kLine == 0) prefetch_l2(w + ahead + v * kLanes);
      return kPartial ? load_f32_partial(d, w, count) : load_f32(d, w + v * kLanes);
    };
    if constexpr (!std::is_same_v<T, float> && kColumns < kVecs) {
      // A multiply-add can read floats from memory again, but not widened weights. The smaller set of operands stays in
      // registers.
      V scale[kColumns];
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) scale[j] = hn::Set(d, x[j]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        const V row = vector(v);
#pragma GCC unroll 16
        for (int j = 0; j < kColumns; ++j) sum[j][v] = hn::MulAdd(scale[j], row, sum[j][v]);
      }
    } else {
      V row[kVecs];
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) row[v] = vector(v);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const V scale = hn::Set(d, x[j]);
#pragma GCC unroll 16
        for (int v = 0; v < kVecs; ++v) sum[j][v] = hn::MulAdd(scale, row[v], sum[j][v]);
      }
    }
    w += block.w_row;
    x += block.x_step;
  }
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[j][v], d, sums + j * stride + v * kLanes);
}

template <typename T, int kColumns>
void axpy_block(const AxpyBlock& from, const T* w, const float* x, float* sums) {
  constexpr int kVecs = std::clamp(kAccumulators / kColumns, 1, 8);
  const AxpyBlock block = from;  // in registers: stores to the sums could change what `from` refers to
  int64_t i = 0;
  for (; i + kVecs * kLanes <= block.width; i += kVecs * kLanes)
    axpy_tile<T, kVecs, kColumns, false>(block, w + i, x, sums + i, 0);
  for (; i + kLanes <= block.width; i += kLanes) axpy_tile<T, 1, kColumns, false>(block, w + i, x, sums + i, 0);
  if (i < block.width) axpy_tile<T, 1, kColumns, true>(block, w + i, x, sums + i, static_cast<size_t>(block.width - i));
}

template <typename T, int... kColumns>
constexpr auto axpy_blocks(std::integer_sequence<int, kColumns...>) {
  return std::array{&axpy_block<T, kColumns + 1>...};
}
/// The function for a block by its columns − 1.
template <typename T>
constexpr auto kAxpyBlocks = axpy_blocks<T>(std::make_integer_sequence<int, kMostTileColumns>());

/// Elements [begin, end) of Y, as sums of scaled rows of W.
template <typename T>
void axpy_rows(const GemvArgs& p, int64_t begin, int64_t end) {
  const T* w = static_cast<const T*>(p.w);
  const int64_t most = kSegmentFloats / p.n / 16 * 16;
  const int64_t segments = ceil_div(end - begin, most);
  const int64_t stride = round_up(ceil_div(end - begin, segments), 16);
  // The rows of a block prefetch those of the next. Nothing prefetches the first block, and its many rows are too many streams
  // for the hardware prefetchers. So blocks are a small part of K, unless rows are so narrow that all of them form one stream.
  const int64_t short_block = ceil_div(p.k, 96) * 4;
  const int64_t block = stride * p.n > 3 * kAccumulators / 2 * kLanes ? std::min(4 * p.tile_rows, short_block) : 4 * p.tile_rows;
  HWY_ALIGN float sums[kSegmentFloats];
  for (int64_t at = begin; at < end; at += stride) {
    const int64_t width = std::min(stride, end - at);
    std::memset(sums, 0, static_cast<size_t>(p.n * stride) * sizeof(float));
    for (int64_t k = 0; k < p.k; k += block) {
      const AxpyBlock shared = {.w_row = p.w_row,
                                .rows = std::min(block, p.k - k),
                                .prefetch_distance = k + 2 * block <= p.k ? block * p.w_row : 0,
                                .x_step = p.x_step,
                                .width = width,
                                .stride = stride};
      for_column_tiles<kMostTileColumns>(p.n, [&](int64_t j, int64_t columns) {
        kAxpyBlocks<T>[static_cast<size_t>(columns - 1)](shared, w + k * p.w_row + at, p.x + k * p.x_step + j, sums + j * stride);
      });
    }
    for (int64_t j = 0; j < p.n; ++j)
      for (int64_t i = 0; i < width; i += kMostSums)
        write(p, sums + j * stride + i, at + i, std::min(kMostSums, width - i), j, 1);
  }
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
