// A big matrix of weights times up to 16 columns: dot products where a weight row lies along K, sums of scaled rows where
// it lies across. Either way the weights are read once, as they are stored, and widened in registers; a result's terms are
// added in an order that only K fixes.
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_KERNELS_MATMUL_GEMV_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_MATMUL_GEMV_INL_H
#undef METALLIC_KERNELS_MATMUL_GEMV_INL_H
#else
#define METALLIC_KERNELS_MATMUL_GEMV_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/pack-inl.h"
#include "ops/matmul/streamed_product.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/prefetch.h"
#include "ops/simd/storage-inl.h"

#ifndef METALLIC_KERNELS_MATMUL_GEMV_INL_H_ONCE
#define METALLIC_KERNELS_MATMUL_GEMV_INL_H_ONCE
namespace metallic::matmul {

// In double precision the products are exact, so that neither FMA nor the ISA makes a difference, nor which way Y lies.
inline float combine(const Columns& p, float sum, const float& y) {
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

// Accumulators that leave room for the operands.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kAccumulators = 24;
#else
constexpr int kAccumulators = 12;
#endif
constexpr int kMostGroup = 8;

// What is to stay in the first cache level beside the weights: 16 KiB.
constexpr int64_t kSegmentFloats = 4096;

// Results that are scaled and written at a time, at most.
constexpr int64_t kMostSums = 128;

// Vectors [begin, end) of X, each of kLanes K times n columns; zeros past K. Where X does not lie along K, four columns are
// transposed at a time.
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
      // 16-bit elements are put in order first and widened by vectors then.
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

// Rows [begin, end) of X, each of n columns.
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

/// Y[i·y_big + j·y_column] from sums[i·columns + j] for `rows` times `columns` of them, at most kMostSums; y is Y's first.
template <typename T>
void write_as(const Columns& p, const float* sums, int64_t rows, int64_t columns, T* y) {
  if constexpr (std::is_same_v<T, float>) {
    const bool plain = p.alpha == 1 && p.beta == 0;  // what combining would give, without the detour through double
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) {
        float& to = y[i * p.y_big + j * p.y_column];
        to = plain ? sums[i * columns + j] : combine(p, sums[i * columns + j], to);
      }
  } else {
    // By vectors: one at a time, an f16 takes a call of the compiler's library where the baseline does not convert it.
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

// Results of `rows` along `big` times `columns`, from (row, column) on.
inline void write(const Columns& p, const float* sums, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  with_type(p.out_dtype,
            [&]<typename T>(T) { write_as(p, sums, rows, columns, static_cast<T*>(p.y) + row * p.y_big + column * p.y_column); });
}

// ---- Dot products: an accumulator per result, a lane per K modulo lanes.

/// W as it is stored, widened in registers; X in floats.
template <typename T>
struct Widened {
  using Element = T;
  static constexpr int64_t kOfVector = kLanes;  ///< elements of K
  static HWY_INLINE hn::Vec<Lane> load(const T* from) { return load_f32(Lane(), from); }
  static HWY_INLINE hn::Vec<Lane> load(const T* from, size_t count) { return load_f32_partial(Lane(), from, count); }
  static HWY_INLINE hn::Vec<Lane> load_x(const float* from, size_t count) { return load_partial(Lane(), from, count); }
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return hn::MulAdd(a, b, sum);
  }
};

// Columns that kRows weight rows are multiplied with at a time: with four rows, 6 of AVX-512 and 2 elsewhere.
template <int kRows>
constexpr int kDotGroup = std::min(kMostGroup, kRows == 4 && kAccumulators == 12 ? 2 : kAccumulators / kRows);

// sums[(i·n + j)·lanes] += W row i · X column j over whole vectors of K and then `tail` more; from 0 where `fresh`. The lines
// `ahead` of these are prefetched, unless that is 0.
template <typename Dots, int kRows, int kColumns>
void dot_tile(const typename Dots::Element* HWY_RESTRICT w, int64_t w_row, const float* HWY_RESTRICT x, int64_t n,
              int64_t vectors, size_t tail, int64_t ahead, bool fresh, float* HWY_RESTRICT sums) {
  const Lane d;
  using V = hn::Vec<Lane>;
  V sum[kRows][kColumns];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) sum[i][j] = fresh ? hn::Zero(d) : hn::LoadU(d, sums + (i * n + j) * kLanes);
  constexpr size_t kStepBytes = Dots::kOfVector * sizeof(typename Dots::Element);
  const auto step = [&](auto prefetches) HWY_ATTR {
    const auto row = [&](int i) HWY_ATTR {
      if (prefetches) {
        prefetch_l2(w + i * w_row + ahead);
        // Once more, since a prefetch that finds all buffers taken is dropped, unless a step is half a line anyway (4096×4096
        // times 4 columns of floats, six rows: 1.61 → 1.35 ms, 1595×208 of bf16 29 → 24 µs; a single column loses 3 %).
        if constexpr (kStepBytes >= 64 && kColumns > 1) prefetch_l2(w + i * w_row + ahead - Dots::kOfVector);
      }
      return Dots::load(w + i * w_row);
    };
    // The fewer operands are kept in registers.
    if constexpr (kColumns < kRows) {
      V column[kColumns];
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) column[j] = hn::LoadU(d, x + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const V weights = row(i);
#pragma GCC unroll 16
        for (int j = 0; j < kColumns; ++j) sum[i][j] = Dots::multiply_add(weights, column[j], sum[i][j]);
      }
    } else {
      V weights[kRows];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) weights[i] = row(i);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) {
        const V column = hn::LoadU(d, x + j * kLanes);
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) sum[i][j] = Dots::multiply_add(weights[i], column, sum[i][j]);
      }
    }
    w += Dots::kOfVector;
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
      const V row = Dots::load(w + i * w_row, tail);
#pragma GCC unroll 16
      for (int j = 0; j < kColumns; ++j) sum[i][j] = Dots::multiply_add(row, Dots::load_x(x + j * kLanes, tail), sum[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int j = 0; j < kColumns; ++j) hn::StoreU(sum[i][j], d, sums + (i * n + j) * kLanes);
}

template <typename Dots>
using DotTile = void (*)(const typename Dots::Element*, int64_t, const float*, int64_t, int64_t, size_t, int64_t, bool, float*);
template <typename Dots, int kRows, int... kColumns>
constexpr std::array<DotTile<Dots>, sizeof...(kColumns)> dot_tiles_of(std::integer_sequence<int, kColumns...>) {
  return {&dot_tile<Dots, kRows, kColumns + 1>...};
}
template <typename Dots, int kRows>
constexpr auto kDotTiles = dot_tiles_of<Dots, kRows>(std::make_integer_sequence<int, kDotGroup<kRows>>());

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

// totals[i] = the sum of the lanes of sums[i·lanes], for `count` of them rounded up to four: four cost little more than one.
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

// One block of K for `rows` rows from w on; the sums of a row lie n·lanes after those of the one before.
template <typename Dots, int kRows>
void dot_block(const Columns& p, const typename Dots::Element* w, int64_t rows, int64_t k, int64_t depth, int64_t ahead,
               float* sums) {
  constexpr int64_t kGroup = kDotGroup<kRows>;
  const int64_t groups = (p.n + kGroup - 1) / kGroup;
  int64_t i = 0;
  for (; i + kRows <= rows; i += kRows)
    for (int64_t g = 0, j = 0; g < groups; ++g) {
      // Equal groups; those after the first find the weights in the first cache level.
      const int64_t columns = (p.n - j + groups - g - 1) / (groups - g);
      kDotTiles<Dots, kRows>[static_cast<size_t>(columns - 1)](
          w + i * p.w_row, p.w_row, p.x + (k / Dots::kOfVector * p.n + j) * kLanes, p.n, depth / Dots::kOfVector,
          static_cast<size_t>(depth % Dots::kOfVector), ahead, k == 0, sums + (i * p.n + j) * kLanes);
      j += columns;
    }
  if constexpr (kRows > 1)
    if (i < rows)
      dot_block<Dots, kRows == 6 ? 4 : kRows / 2>(p, w + i * p.w_row, rows - i, k, depth, ahead, sums + i * p.n * kLanes);
}

// X is read again for each tile. Where the weights' bytes bound, K goes by in blocks of which X fits in half of the first
// cache level: what X takes from the second delays the weights (14336×4096×8: 0.8 times as fast). Where multiply-adds bound,
// X may fill a quarter of the second level, since each block costs a load and a store of every accumulator; but only for
// tiles of few loads, which that level can feed.
template <typename Dots, int kRows>
void dot_rows(const Columns& p, int64_t begin, int64_t end) {
  using T = typename Dots::Element;
  const T* w = static_cast<const T*>(p.w);
  const int64_t chunk = std::clamp<int64_t>(kMostSums / p.n / kRows * kRows, kRows, 64 / kRows * kRows);
  constexpr bool kFewLoads = kRows >= 4 && kRows * kDotGroup<kRows> >= 24;
  const int64_t segment = kFewLoads && (p.n > kMostGroup || !p.prefetches) ? 16 * kSegmentFloats : kSegmentFloats;
  constexpr int64_t kUnit = std::max<int64_t>(16, Dots::kOfVector);
  const int64_t blocks = std::max<int64_t>(1, (p.k * p.n * kLanes / Dots::kOfVector + segment - 1) / segment);
  const int64_t block = std::max(kUnit, ((p.k + blocks - 1) / blocks + kUnit - 1) / kUnit * kUnit);
  HWY_ALIGN float sums[kMostSums * kLanes] = {};
  float totals[kMostSums];
  // Rows that lie several to a page are read in turns, which the hardware prefetchers do not follow: without these prefetches
  // four rows of 182 took twice as long from memory as one after the other, with them two thirds; in cache they cost 3 to 8 %.
  constexpr int64_t kPage = 4096 / sizeof(T);
  const int64_t group = std::max<int64_t>(1, kRows * p.w_row);
  const int64_t near = p.w_row <= kPage ? (kPage + group - 1) / group * group : 0;
  for (int64_t row = begin; row < end; row += chunk) {
    const int64_t rows = std::min(chunk, end - row);
    for (int64_t k = 0; k == 0 || k < p.k; k += block) {
      // The same rows' next block, or the first of the next rows.
      const int64_t next = k + block < p.k ? block : row + 2 * chunk <= end ? chunk * p.w_row - k : 0;
      const int64_t ahead = near > 0 ? near : p.prefetches ? next : 0;
      dot_block<Dots, kRows>(p, w + row * p.w_row + k, rows, k, std::min(block, p.k - k), ahead, sums);
    }
    add_lanes(sums, rows * p.n, totals);
    write(p, totals, row, rows, 0, p.n);
  }
}

/// Rows [begin, end) of Y by dot products.
template <typename Dots>
void dot_as(const Columns& p, int64_t begin, int64_t end) {
  p.rows == 2   ? dot_rows<Dots, 2>(p, begin, end)
  : p.rows == 4 ? dot_rows<Dots, 4>(p, begin, end)
                : dot_rows<Dots, 6>(p, begin, end);
}

// ---- Scaled rows: the results of a segment of `big` stay in the first cache level while K goes by.

// sums[j·stride + …] += Σ over `rows` of W of W[row][…]·x[row][j], for kVecs vectors of a segment, or `count` lanes of one.
template <typename T, int kVecs, int kColumns, bool kPartial>
HWY_INLINE void scaled_tile(const T* HWY_RESTRICT w, int64_t w_row, int64_t rows, int64_t ahead, const float* HWY_RESTRICT x,
                            int64_t x_step, float* HWY_RESTRICT sums, int64_t stride, size_t count) {
  const Lane d;
  using V = hn::Vec<Lane>;
  constexpr int64_t kLine = 64 / sizeof(T);
  V sum[kColumns][kVecs];
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sum[j][v] = hn::Load(d, sums + j * stride + v * kLanes);
  for (int64_t i = 0; i < rows; ++i) {
    // Every row of a segment starts on another page, which the hardware prefetchers do not foresee.
    const auto vector = [&](int v) HWY_ATTR {
      if (!kPartial && v * kLanes % kLine == 0) prefetch_l2(w + ahead + v * kLanes);
      return kPartial ? load_f32_partial(d, w, count) : load_f32(d, w + v * kLanes);
    };
    if constexpr (!std::is_same_v<T, float> && kColumns < kVecs) {
      // A multiply-add reads floats from memory again, but not what had to be widened: the fewer operands are kept.
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
    w += w_row;
    x += x_step;
  }
#pragma GCC unroll 16
  for (int j = 0; j < kColumns; ++j)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) hn::Store(sum[j][v], d, sums + j * stride + v * kLanes);
}

template <typename T, int kColumns>
void scaled_block(const T* w, int64_t w_row, int64_t rows, int64_t ahead, const float* x, int64_t x_step, int64_t width,
                  float* sums, int64_t stride) {
  constexpr int kVecs = std::clamp(kAccumulators / kColumns, 1, 8);
  int64_t i = 0;
  for (; i + kVecs * kLanes <= width; i += kVecs * kLanes)
    scaled_tile<T, kVecs, kColumns, false>(w + i, w_row, rows, ahead, x, x_step, sums + i, stride, 0);
  for (; i + kLanes <= width; i += kLanes)
    scaled_tile<T, 1, kColumns, false>(w + i, w_row, rows, ahead, x, x_step, sums + i, stride, 0);
  if (i < width)
    scaled_tile<T, 1, kColumns, true>(w + i, w_row, rows, ahead, x, x_step, sums + i, stride, static_cast<size_t>(width - i));
}

template <typename T>
using ScaledBlock = void (*)(const T*, int64_t, int64_t, int64_t, const float*, int64_t, int64_t, float*, int64_t);
template <typename T, int... kColumns>
constexpr std::array<ScaledBlock<T>, kMostGroup> scaled_blocks_of(std::integer_sequence<int, kColumns...>) {
  return {&scaled_block<T, kColumns + 1>...};
}
template <typename T>
constexpr auto kScaledBlocks = scaled_blocks_of<T>(std::make_integer_sequence<int, kMostGroup>());

template <typename T>
void scaled_rows(const Columns& p, int64_t begin, int64_t end) {
  const T* w = static_cast<const T*>(p.w);
  const int64_t groups = (p.n + kMostGroup - 1) / kMostGroup;
  const int64_t most = kSegmentFloats / p.n / 16 * 16;
  const int64_t segments = (end - begin + most - 1) / most;
  const int64_t stride = ((end - begin + segments - 1) / segments + 15) / 16 * 16;
  // A block's rows prefetch those of the next; the first has nobody to do so, and its many rows at once are too many streams for
  // the hardware. So it is a small part of K, unless rows are so narrow that all of them are one stream.
  const int64_t short_block = (p.k + 95) / 96 * 4;
  const int64_t block = stride * p.n > 3 * kAccumulators / 2 * kLanes ? std::min(4 * p.rows, short_block) : 4 * p.rows;
  HWY_ALIGN float sums[kSegmentFloats];
  for (int64_t at = begin; at < end; at += stride) {
    const int64_t width = std::min(stride, end - at);
    std::memset(sums, 0, static_cast<size_t>(p.n * stride) * sizeof(float));
    for (int64_t k = 0; k < p.k; k += block) {
      const int64_t rows = std::min(block, p.k - k), ahead = k + 2 * block <= p.k ? block * p.w_row : 0;
      for (int64_t g = 0, j = 0; g < groups; ++g) {
        const int64_t columns = (p.n - j + groups - g - 1) / (groups - g);
        kScaledBlocks<T>[static_cast<size_t>(columns - 1)](w + k * p.w_row + at, p.w_row, rows, ahead, p.x + k * p.x_step + j,
                                                           p.x_step, width, sums + j * stride, stride);
        j += columns;
      }
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
