// SPDX-License-Identifier: Apache-2.0
// GEMV by dot products, for weights whose rows are contiguous along K. A tile reads each weight once, as it is stored, and widens
// it in registers. Only K fixes the order in which the terms of a result are added.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_GEMV_DOT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_GEMV_DOT_INL_H
#undef METALLIC_OPS_MATMUL_GEMV_DOT_INL_H
#else
#define METALLIC_OPS_MATMUL_GEMV_DOT_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
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

/// Arithmetic in f32: W is widened in registers, X is packed as floats.
template <typename T>
struct WidenedDot {
  using Element = T;
  static constexpr int64_t kVectorK = kLanes;  ///< elements of K in a vector
  static HWY_INLINE hn::Vec<Lane> load(const T* from) { return load_f32(Lane(), from); }
  static HWY_INLINE hn::Vec<Lane> load(const T* from, size_t count) { return load_f32_partial(Lane(), from, count); }
  static HWY_INLINE hn::Vec<Lane> load_x(const float* from, size_t count) { return load_partial(Lane(), from, count); }
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return hn::MulAdd(a, b, sum);
  }
};

/// What the register tiles of a block of K have in common. A tile adds the products of its rows of W and its columns of X to
/// sums.
struct DotBlock {
  int64_t w_row;              ///< elements from one row of W to the next
  int64_t n;                  ///< columns of X, which is in vectors: [vector of K][n][lanes]
  int64_t vectors;            ///< whole vectors of K
  size_t tail;                ///< elements of K after them
  int64_t prefetch_distance;  ///< in elements of W; 0: no prefetch
  bool from_zero;             ///< starts the sums, instead of adding to them
};

// The most columns of a tile of kRows rows; with four rows, 6 on AVX-512 and 2 elsewhere.
template <int kRows>
constexpr int kDotColumns = std::min(kMostTileColumns, kRows == 4 && kAccumulators == 12 ? 2 : kAccumulators / kRows);

// The micro-kernel: kRows × kColumns accumulators, with K in their lanes, from the tile's first row of W and first column of X.
// The accumulator of row i and column j is at sums[(i·n + j)·lanes].
template <typename Dot, int kRows, int kColumns>
void dot_tile(const DotBlock& block, const typename Dot::Element* HWY_RESTRICT w, const float* HWY_RESTRICT x,
              float* HWY_RESTRICT sums) {
  const Lane d;
  using V = hn::Vec<Lane>;
  const int64_t w_row = block.w_row, n = block.n, vectors = block.vectors, ahead = block.prefetch_distance;
  const size_t tail = block.tail;
  const bool from_zero = block.from_zero;
  V sum[kRows][kColumns];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) sum[i][j] = from_zero ? hn::Zero(d) : hn::LoadU(d, sums + (i * n + j) * kLanes);
  constexpr size_t kStepBytes = Dot::kVectorK * sizeof(typename Dot::Element);
  const auto step = [&](auto prefetches) HWY_ATTR {
    const auto row = [&](int i) HWY_ATTR {
      if (prefetches) {
        prefetch_l2(w + i * w_row + ahead);
        // A second prefetch of the line, because the CPU drops a prefetch that finds no free fill buffer. Steps of half a line
        // have one anyway (4096×4096 times 4 columns in f32, six rows: 1.61 → 1.35 ms; 1595×208 in bf16: 29 → 24 µs; a single
        // column loses 3 %).
        if constexpr (kStepBytes >= 64 && kColumns > 1) prefetch_l2(w + i * w_row + ahead - Dot::kVectorK);
      }
      return Dot::load(w + i * w_row);
    };
    // The smaller set of operands stays in registers.
    if constexpr (kColumns < kRows) {
      V column[kColumns];
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) column[j] = hn::LoadU(d, x + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const V weights = row(i);
#pragma GCC unroll 16
        for (int j = 0; j < kColumns; ++j) sum[i][j] = Dot::multiply_add(weights, column[j], sum[i][j]);
      }
    } else {
      V weights[kRows];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) weights[i] = row(i);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const V column = hn::LoadU(d, x + j * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) sum[i][j] = Dot::multiply_add(weights[i], column, sum[i][j]);
      }
    }
    w += Dot::kVectorK;
    x += n * kLanes;
  };
  if (ahead != 0)
    for (int64_t v = 0; v < vectors; ++v) step(std::true_type());
  else
    for (int64_t v = 0; v < vectors; ++v) step(std::false_type());
  if (tail > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      if (ahead != 0) prefetch_l2(w + i * w_row + ahead);
      const V row = Dot::load(w + i * w_row, tail);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) sum[i][j] = Dot::multiply_add(row, Dot::load_x(x + j * kLanes, tail), sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) hn::StoreU(sum[i][j], d, sums + (i * n + j) * kLanes);
}

template <typename Dot, int kRows, int... kColumns>
constexpr auto dot_tiles(std::integer_sequence<int, kColumns...>) {
  return std::array{&dot_tile<Dot, kRows, kColumns + 1>...};
}
/// The micro-kernel of a tile by its columns − 1.
template <typename Dot, int kRows>
constexpr auto kDotTiles = dot_tiles<Dot, kRows>(std::make_integer_sequence<int, kDotColumns<kRows>>());

#if HWY_TARGET != HWY_SCALAR
template <class D, class V>
HWY_INLINE hn::Vec<hn::FixedTag<float, 4>> add_blocks(D d, V v) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return add_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}
#endif

// totals[i] = the sum of the lanes at sums[i·lanes], for `count` rounded up to four results: four cost little more than one.
HWY_INLINE void add_lanes(const float* HWY_RESTRICT sums, int64_t count, float* HWY_RESTRICT totals) {
#if HWY_TARGET == HWY_SCALAR
  std::copy(sums, sums + count, totals);
#else
  const Lane d;
  for (int64_t i = 0; i < count; i += 4, sums += 4 * kLanes) {
    hn::Vec<Lane> r[4];
    for (int j = 0; j < 4; ++j) r[j] = hn::Load(d, sums + j * kLanes);
    transpose_blocks(d, r);
    const auto total = add_blocks(d, hn::Add(hn::Add(r[0], r[1]), hn::Add(r[2], r[3])));
    hn::StoreU(total, hn::FixedTag<float, 4>(), totals + i);
  }
#endif
}

// A block of K for `rows` rows and all columns.
template <typename Dot, int kRows>
void dot_block(const DotBlock& block, const typename Dot::Element* w, int64_t rows, const float* x, float* sums) {
  int64_t i = 0;
  // The first column tile brings the weights to the first cache level, and the others find them there.
  for (; i + kRows <= rows; i += kRows)
    for_column_tiles<kDotColumns<kRows>>(block.n, [&](int64_t j, int64_t columns) {
      kDotTiles<Dot, kRows>[static_cast<size_t>(columns - 1)](block, w + i * block.w_row, x + j * kLanes,
                                                              sums + (i * block.n + j) * kLanes);
    });
  if constexpr (kRows > 1)
    if (i < rows)
      dot_block<Dot, kRows == 6 ? 4 : kRows / 2>(block, w + i * block.w_row, rows - i, x, sums + i * block.n * kLanes);
}

// Each tile reads X again. If the bytes of the weights are the bottleneck, K is split in blocks whose part of X fits in half of
// the first cache level; reads of X from the second level would delay the weights (14336×4096×8: 0.8 times as fast). If
// multiply-adds are the bottleneck, X may fill a quarter of the second level, because each block loads and stores every
// accumulator. That pays off only for tiles with few loads per multiply-add, which the second level can feed.
template <typename Dot, int kRows>
void dot_rows(const GemvArgs& p, int64_t begin, int64_t end) {
  using T = typename Dot::Element;
  const T* w = static_cast<const T*>(p.w);
  const int64_t chunk = std::clamp<int64_t>(kMostSums / p.n / kRows * kRows, kRows, 64 / kRows * kRows);
  constexpr bool kFewLoads = kRows >= 4 && kRows * kDotColumns<kRows> >= 24;
  const int64_t segment = kFewLoads && (p.n > kMostTileColumns || !p.prefetch) ? 16 * kSegmentFloats : kSegmentFloats;
  constexpr int64_t kUnit = std::max<int64_t>(16, Dot::kVectorK);
  const int64_t blocks = std::max<int64_t>(1, ceil_div(p.k * p.n * kLanes / Dot::kVectorK, segment));
  const int64_t block = std::max(kUnit, round_up(ceil_div(p.k, blocks), kUnit));
  HWY_ALIGN float sums[kMostSums * kLanes] = {};
  float totals[kMostSums];
  // The hardware prefetchers do not follow interleaved reads of several rows in a page, so short rows are always prefetched. From
  // memory, four rows of 182 elements took twice as long as one after the other without these prefetches, and two thirds with
  // them. In cache they cost 3 to 8 %.
  constexpr int64_t kPage = 4096 / sizeof(T);
  const int64_t group = std::max<int64_t>(1, kRows * p.w_row);
  const int64_t near = p.w_row <= kPage ? round_up(kPage, group) : 0;
  for (int64_t row = begin; row < end; row += chunk) {
    const int64_t rows = std::min(chunk, end - row);
    for (int64_t k = 0; k == 0 || k < p.k; k += block) {
      // The next block of the same rows, or the first block of the next rows.
      const int64_t next = k + block < p.k ? block : row + 2 * chunk <= end ? chunk * p.w_row - k : 0;
      const int64_t ahead = near > 0 ? near : p.prefetch ? next : 0;
      const int64_t depth = std::min(block, p.k - k);
      dot_block<Dot, kRows>({.w_row = p.w_row,
                             .n = p.n,
                             .vectors = depth / Dot::kVectorK,
                             .tail = static_cast<size_t>(depth % Dot::kVectorK),
                             .prefetch_distance = ahead,
                             .from_zero = k == 0},
                            w + row * p.w_row + k, rows, p.x + k / Dot::kVectorK * p.n * kLanes, sums);
    }
    add_lanes(sums, rows * p.n, totals);
    write(p, totals, row, rows, 0, p.n);
  }
}

/// Rows [begin, end) of Y by dot products.
template <typename Dot>
void dot_as(const GemvArgs& p, int64_t begin, int64_t end) {
  p.tile_rows == 2   ? dot_rows<Dot, 2>(p, begin, end)
  : p.tile_rows == 4 ? dot_rows<Dot, 4>(p, begin, end)
                     : dot_rows<Dot, 6>(p, begin, end);
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
