// SPDX-License-Identifier: Apache-2.0
// Attention of few queries to one segment of the keys: scores, weights and weighted sums. K and V are read once each, as they are
// stored, and widened in registers. While one of them is read, the next rows of the other are prefetched to the second cache
// level.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SDPA_DECODE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SDPA_DECODE_INL_H
#undef METALLIC_OPS_SDPA_DECODE_INL_H
#else
#define METALLIC_OPS_SDPA_DECODE_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/math.h"
#include "ops/element.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/shape.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/prefetch.h"
#include "ops/simd/storage-inl.h"
#include "ops/softmax/rows-inl.h"

#ifndef METALLIC_OPS_SDPA_DECODE_INL_H_ONCE
#define METALLIC_OPS_SDPA_DECODE_INL_H_ONCE
namespace metallic::sdpa {

/// Rows of queries and sums are padded to this many floats: whole vectors on every target.
inline constexpr int64_t kPad = 16;

/// The prefetch distance in bytes of each stream. A second prefetch at half the distance recovers those that the CPU dropped (Zen
/// 4, one thread: f32 18.2 → 21.5, f16 17.8 → 19.2 of 22 GB/s).
inline constexpr int64_t kBytesAhead = 8192;

/// Keys of a register tile.
inline constexpr int kKeys = 4;

/// The rows to prefetch: that of the first stream, and the distance from one stream to the next.
template <typename T>
struct PrefetchRows {
  const T* row;
  int64_t stream;
};

/// A segment of the keys of one head of K and V, read as kKeys streams of `stream` keys each. Four streams have about twice the
/// bandwidth of a single one (Zen 4, one thread, 16 bits: one stream 9 GB/s, with software prefetches 12; four streams 17).
/// Weights are stored and summed position by position, stream by stream at each position, also if streams end early. So the order
/// of summation does not depend on the number of keys.
struct KeySegment {
  int64_t keys, stream, head_dim;
  const void *k, *v;
  int64_t k_row, v_row;
  const void* k_next;  ///< the keys of the task's next segment
  int64_t padded_dim;  ///< head_dim, rounded up to kPad
  int64_t distance;    ///< prefetch distance in rows, at most `stream`

  /// The index of a key's weight.
  int64_t place(int64_t key) const { return key % stream * kKeys + key / stream; }
  /// How many streams have a key at position `at`.
  int64_t streams(int64_t at) const { return keys == kKeys * stream ? kKeys : (keys - at + stream - 1) / stream; }
  /// The floats of a row of weights in use: whole groups of vectors on every target.
  int64_t places() const { return round_up(std::min(keys, stream) * kKeys, 64); }

  /// The rows `distance` after position `at`. The first values follow the last keys, and the next segment's keys follow the last
  /// values.
  template <typename T>
  PrefetchRows<T> ahead_of_keys(int64_t at) const {
    return ahead<T>(at + distance, k, k_row, v, v_row);
  }
  template <typename T>
  PrefetchRows<T> ahead_of_values(int64_t at) const {
    return ahead<T>(at + distance, v, v_row, k_next, k_row);
  }

 private:
  template <typename T>
  PrefetchRows<T> ahead(int64_t at, const void* now, int64_t now_row, const void* then, int64_t then_row) const {
    if (at < stream) return {static_cast<const T*>(now) + at * now_row, stream * now_row};
    return {static_cast<const T*>(then) + (at - stream) * then_row, stream * then_row};
  }
};

/// A unit of a task: the queries of a group of heads against one segment.
struct DecodeUnit {
  const SdpaShape* shape;
  DType dtype;
  KeySegment segment;
  int64_t first_key, segments;
  const void* q;          ///< of the group's first head
  float *query, *scores;  ///< scratch: [rows, padded_dim] and [rows, stride]
  int64_t stride;
  float *max, *total;  ///< results: of row r at r·segments
  float* sums;         ///< results: [rows, padded_dim]
};

}  // namespace metallic::sdpa
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::sdpa::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using namespace ::metallic::HWY_NAMESPACE;

using Lane = hn::ScalableTag<float>;
constexpr int64_t kLanes = hn::MaxLanes(Lane());

// The most queries of a register tile: 16 accumulators of 32 registers, 8 of 16. One keeps the code of the fallback small.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kMostRows = 4;
#elif HWY_TARGET == HWY_SCALAR
constexpr int kMostRows = 1;
#else
constexpr int kMostRows = 2;
#endif
constexpr int64_t kSubtiles = std::max<int64_t>(1, kLanes / kKeys);

// Packs a query of a chunk of queries, [head_dim / lanes][queries of the chunk][lanes].
template <typename T>
void pack_query(const T* q, int64_t head_dim, int64_t rows, float* to) {
  const Lane d;
  for (int64_t i = 0; i < head_dim; i += kLanes, to += rows * kLanes)
    hn::StoreU(i + kLanes <= head_dim ? load_f32(d, q + i) : load_f32_partial(d, q + i, static_cast<size_t>(head_dim - i)), d,
               to);
}

// The sums of the lanes of four accumulators, in two steps. `store_blocks` sums each block of four lanes and stores the result of
// each row, kSubtiles vectors apart. `add_blocks_of` adds the blocks of each of these vectors.
#if HWY_TARGET == HWY_SCALAR
template <int kRows, class V>
HWY_INLINE void store_blocks(const V (&sum)[kRows][kKeys], float* HWY_RESTRICT subtiles) {
  for (int j = 0; j < kRows; ++j)
    for (int i = 0; i < kKeys; ++i) hn::Store(sum[j][i], Lane(), subtiles + j * kSubtiles * kKeys + i);
}
HWY_INLINE void add_blocks_of(const float* HWY_RESTRICT subtiles, float* HWY_RESTRICT to) { std::copy_n(subtiles, kKeys, to); }
#else
template <int kRows, class V>
HWY_INLINE void store_blocks(const V (&sum)[kRows][kKeys], float* HWY_RESTRICT subtiles) {
  const Lane d;
  const hn::RepartitionToWide<Lane> pairs;
  const auto pair = [&](V a, V b) HWY_ATTR {
    return hn::BitCast(pairs, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  };
#pragma GCC unroll 16
  for (int j = 0; j < kRows; ++j) {
    const auto low = pair(sum[j][0], sum[j][1]), high = pair(sum[j][2], sum[j][3]);
    const auto blocks =
        hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, low, high)), hn::BitCast(d, hn::InterleaveUpper(pairs, low, high)));
    hn::Store(blocks, d, subtiles + j * kSubtiles * kLanes);
  }
}
HWY_INLINE void add_blocks_of(const float* HWY_RESTRICT subtiles, float* HWY_RESTRICT to) {
  const Lane d;
  const auto load = [&](int i) HWY_ATTR { return hn::Load(d, subtiles + i * kLanes); };
  if constexpr (kLanes == 4) {
    hn::Store(load(0), d, to);
  } else {
    const auto halves = [&](hn::Vec<Lane> a, hn::Vec<Lane> b)
                            HWY_ATTR { return hn::Add(hn::ConcatLowerLower(d, b, a), hn::ConcatUpperUpper(d, b, a)); };
    if constexpr (kLanes == 8) {
      hn::Store(halves(load(0), load(1)), d, to);
    } else {
      const auto even = halves(load(0), load(2)), odd = halves(load(1), load(3));
      hn::Store(hn::Add(hn::OddEvenBlocks(odd, even), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(even, odd))), d, to);
    }
  }
}
#endif

// The micro-kernel of Q·Kᵀ: scores[j·stride + place of the key] of kRows packed queries, for every place.
template <typename T, int kRows>
void score_chunk(const KeySegment& s, const float* HWY_RESTRICT q, float* HWY_RESTRICT scores, int64_t stride) {
  const Lane d;
  using V = hn::Vec<Lane>;
  const T* const k = static_cast<const T*>(s.k);
  const int64_t whole = s.head_dim / kLanes * kLanes;
  const auto tail = static_cast<size_t>(s.head_dim - whole);
  const int64_t halfway = s.distance / 2 * s.k_row;
  const bool full = s.keys == kKeys * s.stream;
  if (!full)
    for (int j = 0; j < kRows; ++j) std::fill_n(scores + j * stride, s.places(), kMinusInfinity);
  constexpr int64_t kBlock = kSubtiles * kKeys;
  HWY_ALIGN float subtiles[kRows][kSubtiles * std::max<int64_t>(kLanes, kKeys)];
  for (int64_t first = 0; first < s.keys; first += kBlock) {
    for (int64_t sub = 0; sub < kSubtiles; ++sub) {
      const int64_t in_stream = first / kKeys + sub;
      const PrefetchRows<T> ahead = s.ahead_of_keys<T>(in_stream);
      const T* key[kKeys];
      const T* soon[kKeys];
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; ++i) {
        // A segment that is not full is read in the order of its keys, and keys that do not exist are read as the last one.
        const int64_t row = full ? i * s.stream + in_stream : std::min(first + sub * kKeys + i, s.keys - 1);
        key[i] = k + row * s.k_row;
        soon[i] = ahead.row + i * ahead.stream;
      }
      V sum[kRows][kKeys];
#pragma GCC unroll 16
      for (int j = 0; j < kRows; ++j)
#pragma GCC unroll 16
        for (int i = 0; i < kKeys; ++i) sum[j][i] = hn::Zero(d);
      const float* HWY_RESTRICT query = q;
      for (int64_t at = 0; at < whole; at += kLanes) {
        V row[kKeys];
#pragma GCC unroll 16
        for (int i = 0; i < kKeys; ++i) {
          row[i] = load_f32(d, key[i] + at);
          prefetch_l2(soon[i] + at);
          prefetch_l2(key[i] + at + halfway);
        }
#pragma GCC unroll 16
        for (int j = 0; j < kRows; ++j) {
          const V column = hn::Load(d, query + j * kLanes);
#pragma GCC unroll 16
          for (int i = 0; i < kKeys; ++i) sum[j][i] = hn::MulAdd(row[i], column, sum[j][i]);
        }
        query += kRows * kLanes;
      }
      if (tail > 0) {
#pragma GCC unroll 16
        for (int i = 0; i < kKeys; ++i) {
          const V row = load_f32_partial(d, key[i] + whole, tail);
#pragma GCC unroll 16
          for (int j = 0; j < kRows; ++j) sum[j][i] = hn::MulAdd(row, hn::Load(d, query + j * kLanes), sum[j][i]);
        }
      }
      store_blocks<kRows>(sum, subtiles[0] + sub * kLanes);
    }
#pragma GCC unroll 16
    for (int j = 0; j < kRows; ++j) {
      float* const to = scores + j * stride;
      if (full) {
        add_blocks_of(subtiles[j], to + first);
      } else {
        HWY_ALIGN float ordered[kBlock];
        add_blocks_of(subtiles[j], ordered);
        for (int64_t i = 0; i < std::min(kBlock, s.keys - first); ++i) to[s.place(first + i)] = ordered[i];
      }
    }
  }
}

// The micro-kernel of P·V: to[j·padded_dim + column …] += Σ weights[j·stride + place]·V[key][column …] over positions [begin,
// end) of each stream, for kVecs vectors or the first `count` lanes of one. Starts from 0 if begin is 0.
template <typename T, int kRows, int kVecs, bool kPartial>
HWY_INLINE void value_tile(const KeySegment& s, int64_t begin, int64_t end, int64_t column, const float* HWY_RESTRICT weights,
                           int64_t stride, float* HWY_RESTRICT to, size_t count) {
  const Lane d;
  using V = hn::Vec<Lane>;
  V sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int j = 0; j < kRows; ++j)
#pragma GCC unroll 16
    for (int i = 0; i < kVecs; ++i)
      sum[j][i] = begin == 0 ? hn::Zero(d) : hn::Load(d, to + j * s.padded_dim + column + i * kLanes);
  const int64_t halfway = s.distance / 2 * s.v_row;
  const T* row = static_cast<const T*>(s.v) + begin * s.v_row + column;
  for (int64_t at = begin; at < end; ++at, row += s.v_row) {
    const PrefetchRows<T> ahead = s.ahead_of_values<T>(at);
    const T* soon = ahead.row + column;
    const T* HWY_RESTRICT v = row;
    const float* HWY_RESTRICT place = weights + at * kKeys;
    for (int64_t left = s.streams(at); left > 0; --left, v += s.stream * s.v_row, soon += ahead.stream, ++place) {
      V weight[kRows];
#pragma GCC unroll 16
      for (int j = 0; j < kRows; ++j) weight[j] = hn::Set(d, place[j * stride]);
#pragma GCC unroll 16
      for (int i = 0; i < kVecs; ++i) {
        const V value = kPartial ? load_f32_partial(d, v, count) : load_f32(d, v + i * kLanes);
        if (!kPartial) {
          prefetch_l2(soon + i * kLanes);
          prefetch_l2(v + i * kLanes + halfway);
        }
#pragma GCC unroll 16
        for (int j = 0; j < kRows; ++j) sum[j][i] = hn::MulAdd(weight[j], value, sum[j][i]);
      }
    }
  }
#pragma GCC unroll 16
  for (int j = 0; j < kRows; ++j)
#pragma GCC unroll 16
    for (int i = 0; i < kVecs; ++i) hn::Store(sum[j][i], d, to + j * s.padded_dim + column + i * kLanes);
}

// Takes a few keys of each stream at a time, whose rows of V stay in the first cache level for all columns.
template <typename T, int kRows>
void value_chunk(const KeySegment& s, const float* weights, int64_t stride, float* to) {
  constexpr int kVecs = kMostRows * 4 / kRows >= 8 ? 8 : 4;
  constexpr int64_t kBlock = 16;
  const int64_t longest = std::min(s.keys, s.stream);
  for (int64_t begin = 0; begin < longest; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, longest);
    int64_t at = 0;
    for (; at + kVecs * kLanes <= s.head_dim; at += kVecs * kLanes)
      value_tile<T, kRows, kVecs, false>(s, begin, end, at, weights, stride, to, 0);
    for (; at + kLanes <= s.head_dim; at += kLanes) value_tile<T, kRows, 1, false>(s, begin, end, at, weights, stride, to, 0);
    if (at < s.head_dim)
      value_tile<T, kRows, 1, true>(s, begin, end, at, weights, stride, to, static_cast<size_t>(s.head_dim - at));
  }
}

// Calls function with `rows`, 1 to kMostRows, as a constant.
template <int kRows = kMostRows, typename Function>
HWY_INLINE void with_rows(int64_t rows, const Function& function) {
  if constexpr (kRows > 1)
    if (rows < kRows) return with_rows<kRows - 1>(rows, function);
  function(std::integral_constant<int, kRows>());
}

template <typename T>
void attend_as(const DecodeUnit& p) {
  const SdpaShape& shape = *p.shape;
  const KeySegment& s = p.segment;
  const int64_t rows = shape.group() * shape.seq_q;
  for (int64_t first = 0; first < rows; first += kMostRows) {
    const int64_t count = std::min<int64_t>(kMostRows, rows - first);
    float* const query = p.query + first * s.padded_dim;
    for (int64_t j = 0; j < count; ++j) {
      const int64_t row = first + j;
      pack_query(static_cast<const T*>(p.q) + row_at(shape.q, 0, row / shape.seq_q, row % shape.seq_q), s.head_dim, count,
                 query + j * kLanes);
    }
    float* const scores = p.scores + first * p.stride;
    with_rows(count, [&](auto constant) { score_chunk<T, constant>(s, query, scores, p.stride); });
    for (int64_t j = 0; j < count; ++j) {
      const int64_t row = first + j;
      float* const weights = p.scores + row * p.stride;
      const int64_t visible = std::clamp<int64_t>(visible_keys(shape, row % shape.seq_q) - p.first_key, 0, s.keys);
      for (int64_t key = visible; key < s.keys; ++key) weights[s.place(key)] = kMinusInfinity;
      const auto places = static_cast<size_t>(s.places());
      const float max = row_max<4>(weights, places);
      // If all scores are −∞, their weights are 0.
      const float shift = max == kMinusInfinity ? 0 : max;
      p.total[row * p.segments] = row_exp_sum<4>(weights, shift, shape.scale, weights, places);
      p.max[row * p.segments] = max;
    }
  }
  for (int64_t first = 0; first < rows; first += kMostRows)
    with_rows(std::min<int64_t>(kMostRows, rows - first), [&](auto constant) {
      value_chunk<T, constant>(s, p.scores + first * p.stride, p.stride, p.sums + first * s.padded_dim);
    });
}

/// The scores, weights and sums of one segment, relative to the segment's own maximum.
void attend(const DecodeUnit& p) {
  with_type(p.dtype, [&]<typename T>(T) { attend_as<T>(p); });
}

/// Computes a row of the output from the maxima, totals and sums of its segments, in the order of the segments. Overwrites the
/// maxima and the first sums. The arguments are positional, because with a struct of them GCC contracts the sum of `all` to fused
/// multiply-adds, which changes bits.
void combine(float* max, const float* total, float* sums, int64_t segments, int64_t stride, float scale, int64_t head_dim,
             DType out_dtype, void* out) {
  const Lane d;
  const auto count = static_cast<size_t>(segments);
  row_exp_sum<1>(max, row_max<1>(max, count), scale, max, count);
  float all = 0;
  for (int64_t i = 0; i < segments; ++i) all += max[i] * total[i];
  for (int64_t at = 0; at < head_dim; at += kLanes) {
    auto sum = hn::Mul(hn::Set(d, max[0]), hn::Load(d, sums + at));
    for (int64_t i = 1; i < segments; ++i) sum = hn::MulAdd(hn::Set(d, max[i]), hn::Load(d, sums + i * stride + at), sum);
    hn::Store(sum, d, sums + at);
  }
  with_type(out_dtype,
            [&]<typename Out>(Out) { row_scale(sums, 1 / all, static_cast<Out*>(out), static_cast<size_t>(head_dim)); });
}

}  // namespace
}  // namespace metallic::sdpa::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
