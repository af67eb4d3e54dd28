// SPDX-License-Identifier: Apache-2.0
// The parts that both GEMV micro-kernels share: the register budget, packing of the few columns, and the epilogue.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_GEMV_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_GEMV_INL_H
#undef METALLIC_OPS_MATMUL_GEMV_INL_H
#else
#define METALLIC_OPS_MATMUL_GEMV_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/math.h"
#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemv_kernel.h"
#include "ops/matmul/pack-inl.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/storage-inl.h"

#ifndef METALLIC_OPS_MATMUL_GEMV_INL_H_ONCE
#define METALLIC_OPS_MATMUL_GEMV_INL_H_ONCE
namespace metallic::matmul {

// alpha·sum + beta·y in double precision: the products are exact there, so neither FMA, the target nor the layout of Y matters.
inline float combine(const GemvArgs& p, float sum, const float& y) {
  const double scaled = static_cast<double>(p.alpha) * sum;
  return static_cast<float>(p.beta == 0 ? scaled : scaled + static_cast<double>(p.beta) * y);
}

}  // namespace metallic::matmul
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using namespace ::metallic::HWY_NAMESPACE;

using Lane = hn::ScalableTag<float>;
constexpr int64_t kLanes = hn::MaxLanes(Lane());

// Accumulator registers; the others hold operands.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif

// The most columns of a register tile. Few of them keep the code of the fallback small.
constexpr int kMostTileColumns = HWY_TARGET == HWY_SCALAR ? 2 : 8;

// Floats that must fit in the first cache level beside the weights: 16 KiB.
constexpr int64_t kSegmentFloats = 4096;

// The most results that the epilogue takes at a time.
constexpr int64_t kMostSums = 128;

/// How `n` columns are split into tiles of at most kMost columns, as equal as possible.
template <int kMost, typename Function>
HWY_INLINE void for_column_tiles(int64_t n, const Function& function) {
  const int64_t tiles = ceil_div(n, kMost);
  for (int64_t t = 0, j = 0; t < tiles; ++t) {
    const int64_t columns = (n - j + tiles - t - 1) / (tiles - t);
    function(j, columns);
    j += columns;
  }
}

// Packs vectors [begin, end) of X. A vector holds kLanes elements of K for each of n columns, with zeros past K. If X is not
// contiguous along K, four columns are transposed at a time.
template <typename T>
void pack_vectors_as(const Strided<T>& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to) {
  const Lane d;
  for (int64_t v = begin; v < end; ++v) {
    const int64_t at = v * kLanes, count = std::min(kLanes, k - at);
    float* next = to + at * n;
    int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
    if (count == kLanes && x.column == 1 && n >= 4) {
      using Bits = std::conditional_t<std::is_same_v<T, float>, float, uint16_t>;
      const Bits* rows[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) rows[i] = reinterpret_cast<const Bits*>(&x.at(at + i, 0));
      for (; j + 4 <= n; j += 4) {
        hn::Vec<Lane> columns[4];
        for (int i = 0; i < 4; ++i) {
          const auto bits = load_blocks(hn::Rebind<Bits, Lane>(), rows + i, j);
          if constexpr (std::is_same_v<T, float>)
            columns[i] = bits;
          else
            columns[i] = widen(d, T(), bits);
        }
        transpose_blocks(d, columns);
        for (int i = 0; i < 4; ++i) hn::StoreU(columns[i], d, next + (j + i) * kLanes);
      }
    }
    if (count == kLanes && n == 2 && x.row == 2 && x.column == 1) {
      const auto low = load_f32(d, &x.at(at, 0)), high = load_f32(d, &x.at(at, 0) + kLanes);
      hn::StoreU(hn::ConcatEven(d, high, low), d, next);
      hn::StoreU(hn::ConcatOdd(d, high, low), d, next + kLanes);
      continue;
    }
#endif
    for (; j < n; ++j) {
      const T* from = &x.at(at, j);
      if (x.row == 1 && count == kLanes) {
        hn::StoreU(load_f32(d, from), d, next + j * kLanes);
        continue;
      }
      // 16-bit elements are gathered first and then widened by vectors.
      HWY_ALIGN T stage[kLanes];
      T* lanes;
      if constexpr (std::is_same_v<T, float>)
        lanes = next + j * kLanes;
      else
        lanes = stage;
      for (int64_t i = 0; i < count; ++i) lanes[i] = from[i * x.row];
      std::fill(lanes + count, lanes + kLanes, T{});
      if constexpr (!std::is_same_v<T, float>) hn::StoreU(load_f32(d, stage), d, next + j * kLanes);
    }
  }
}

// Packs rows [begin, end) of X, each of n columns.
template <typename T>
void pack_rows_as(const Strided<T>& x, int64_t n, int64_t begin, int64_t end, float* to) {
  const Lane d;
  HWY_ALIGN T row[kMostColumns + kLanes] = {};
  for (int64_t k = begin; k < end; ++k) {
    for (int64_t j = 0; j < n; ++j) row[j] = x.at(k, j);
    for (int64_t j = 0; j < n; j += kLanes)
      store_partial(load_f32(d, row + j), d, to + k * n + j, static_cast<size_t>(std::min(kLanes, n - j)));
  }
}

/// The epilogue: Y[i·y_big + j·y_column] from sums[i·columns + j] for rows × columns ≤ kMostSums results; y is the first of them.
template <typename T>
void write_as(const GemvArgs& p, const float* sums, int64_t rows, int64_t columns, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    const bool plain = p.alpha == 1 && p.beta == 0;  // combine would give the same, but slower
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        float& to = y[i * p.y_big + j * p.y_column];
        to = plain ? sums[i * columns + j] : combine(p, sums[i * columns + j], to);
      }
  } else {
    // Converts by vectors: a single f16 would take a library call, because the baseline has no instruction for it.
    const Lane d;
    const int64_t count = rows * columns;
    HWY_ALIGN T stage[kMostSums] = {};
    HWY_ALIGN float results[kMostSums] = {};
    if (p.beta != 0) {
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) stage[i * columns + j] = y[i * p.y_big + j * p.y_column];
      for (int64_t i = 0; i < count; i += kLanes) hn::Store(load_f32(d, stage + i), d, results + i);
    }
    for (int64_t i = 0; i < count; ++i) results[i] = combine(p, sums[i], results[i]);
    for (int64_t i = 0; i < count; i += kLanes) store_f32(hn::Load(d, results + i), d, stage + i);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) y[i * p.y_big + j * p.y_column] = stage[i * columns + j];
  }
}

// The epilogue for a block of `rows` × `columns` results that starts at (row, column).
inline void write(const GemvArgs& p, const float* sums, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  with_type(p.out_dtype,
            [&]<typename T>(T) { write_as(p, sums, rows, columns, static_cast<T*>(p.y) + row * p.y_big + column * p.y_column); });
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
