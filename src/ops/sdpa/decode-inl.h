// Attention of few queries to one segment of the keys: scores, weights and weighted sums. K and V are read once each, as they
// are stored, and widened in registers; while the one is worked on, the other's next rows come to the second cache level.
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_KERNELS_SDPA_DECODE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_SDPA_DECODE_INL_H
#undef METALLIC_KERNELS_SDPA_DECODE_INL_H
#else
#define METALLIC_KERNELS_SDPA_DECODE_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ops/element.h"
#include "ops/sdpa/contract.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/prefetch.h"
#include "ops/simd/storage-inl.h"
#include "ops/softmax/rows-inl.h"

#ifndef METALLIC_KERNELS_SDPA_DECODE_INL_H_ONCE
#define METALLIC_KERNELS_SDPA_DECODE_INL_H_ONCE
namespace metallic::sdpa {

/// Rows of queries and sums are whole vectors of every target.
inline constexpr int64_t kPad = 16;

/// Bytes of each stream that are on their way while the rows before them are worked on. Halfway they are asked for once more,
/// as if some of the first requests came to nothing (Zen 4, one thread: f32 18.2 → 21.5, f16 17.8 → 19.2 GB/s of the 22 there
/// are).
inline constexpr int64_t kBytesAhead = 8192;

/// Keys that are worked on together.
inline constexpr int kKeys = 4;

/// What to prefetch: a row, and the distance from one stream's to the next one's.
template <typename T>
struct Ahead {
  const T* row;
  int64_t stream;
};

/// A segment of the keys of one head of K and V, read as kKeys streams of `stream` keys each. Of one stream alone, prefetchers
/// bring about half as much as of four (Zen 4, one thread, 16 bits: 9 GB/s without and 12 with instructions that prefetch, 17
/// with four streams). Weights lie and are summed stream by stream within equal places, also where streams end early: so the
/// order does not depend on how many keys there are.
struct Segment {
  int64_t keys, stream, head_dim;
  const void *k, *v;
  int64_t k_row, v_row;
  const void* k_next;  ///< the keys that the task reads after this segment
  int64_t padded_dim;  ///< head_dim in whole kPad
  int64_t distance;    ///< how many rows ahead to prefetch, at most a stream

  int64_t place(int64_t key) const { return key % stream * kKeys + key / stream; }
  /// How many streams have a key at this distance from their beginnings.
  int64_t streams(int64_t at) const { return keys == kKeys * stream ? kKeys : (keys - at + stream - 1) / stream; }
  /// Floats of a row of weights in use, whole groups of vectors of every target.
  int64_t places() const { return (std::min(keys, stream) * kKeys + 63) / 64 * 64; }

  /// What is read `distance` rows of each stream later: after the last keys the first values, after those the next keys.
  template <typename T>
  Ahead<T> ahead_of_keys(int64_t at) const {
    return ahead<T>(at + distance, k, k_row, v, v_row);
  }
  template <typename T>
  Ahead<T> ahead_of_values(int64_t at) const {
    return ahead<T>(at + distance, v, v_row, k_next, k_row);
  }

 private:
  template <typename T>
  Ahead<T> ahead(int64_t at, const void* now, int64_t now_row, const void* then, int64_t then_row) const {
    if (at < stream) return {static_cast<const T*>(now) + at * now_row, stream * now_row};
    return {static_cast<const T*>(then) + (at - stream) * then_row, stream * then_row};
  }
};

/// What one task does at a time: the queries of a group of heads against one segment.
struct Part {
  const SdpaShape* shape;
  DType dtype;
  Segment segment;
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

// Queries that a key is multiplied with at a time: 16 accumulators of 32 registers, 8 of 16.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kMostRows = 4;
#else
constexpr int kMostRows = 2;
#endif
constexpr int64_t kSubtiles = std::max<int64_t>(1, kLanes / kKeys);

// Queries of a chunk lie in vectors, [head_dim / lanes][queries of the chunk][lanes].
template <typename T>
void pack_query(const T* q, int64_t head_dim, int64_t rows, float* to) {
  const Lane d;
  for (int64_t i = 0; i < head_dim; i += kLanes, to += rows * kLanes)
    hn::StoreU(i + kLanes <= head_dim ? load_f32(d, q + i) : load_f32_partial(d, q + i, static_cast<size_t>(head_dim - i)), d,
               to);
}

// Sums of lanes, of four accumulators at a time: first in each block of four lanes, which `store_blocks` puts in memory for each
// row, kSubtiles vectors apart; then `add_blocks_of` adds the blocks of each of those vectors.
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

// scores[j·stride + place of the key] of kRows packed queries, for every place.
template <typename T, int kRows>
void score_chunk(const Segment& s, const float* HWY_RESTRICT q, float* HWY_RESTRICT scores, int64_t stride) {
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
      const Ahead<T> ahead = s.ahead_of_keys<T>(in_stream);
      const T* key[kKeys];
      const T* soon[kKeys];
#pragma GCC unroll 16
      for (int i = 0; i < kKeys; ++i) {
        // Of a segment that is not full, keys in their order; those that do not exist are read as the last one.
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

// to[j·padded_dim …] += Σ over keys [begin, end) of each stream of weights[j·stride + place]·V[key][…], kVecs vectors or `count`
// lanes of one; from 0 where begin is.
template <typename T, int kRows, int kVecs, bool kPartial>
HWY_INLINE void value_tile(const Segment& s, int64_t begin, int64_t end, int64_t column, const float* HWY_RESTRICT weights,
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
    const Ahead<T> ahead = s.ahead_of_values<T>(at);
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

// A few keys of each stream at a time, so that the rows of V are in the first cache level while their columns go by.
template <typename T, int kRows>
void value_chunk(const Segment& s, const float* weights, int64_t stride, float* to) {
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
void attend_as(const Part& p) {
  const SdpaShape& shape = *p.shape;
  const Segment& s = p.segment;
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
      // Scores of −∞ weigh nothing beside those of another segment.
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

/// Scores, weights and sums of one segment, each relative to the segment's own maximum.
void attend(const Part& p) {
  with_type(p.dtype, [&]<typename T>(T) { attend_as<T>(p); });
}

/// One row of the output from its segments' maxima, totals and sums, in the segments' order; writes over the maxima and the
/// first sums.
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
