// SPDX-License-Identifier: Apache-2.0
// A row, or a slice of it, as 16-byte chunks: masked loads, accumulation into an online softmax, normalized stores.
#pragma once

#include <cstdint>

#include "ops/cuda/element.cuh"
#include "ops/cuda/online_softmax.cuh"
#include "ops/mask.h"
#include "ops/softmax/softmax_rows.cuh"

namespace metallic::softmax {

/// Chunks begin at multiples of 16 bytes (unless kAlignment is `fixed`), so the first may begin before the row. Positions are
/// elements from the begin of the first chunk.
template <typename In, RowAlignment kAlignment>
struct RowSlice {
  static constexpr int kElements = cuda::kChunkElements<In>;
  static constexpr bool kAligned = kAlignment == RowAlignment::aligned, kFixed = kAlignment == RowAlignment::fixed;
  const In* data;
  int64_t offset = 0;  ///< of position 0 in the row
  int chunks;
  int begin, visible, end;  ///< [begin, visible) are visible keys, [visible, end) are masked
  /// Positions that may be read: the row and its neighbours in the tensor. Whole chunks are loaded if they are within.
  int readable_begin, readable_end;

  /// A whole row of fewer than kMaxSliceElements.
  __device__ RowSlice(const SoftmaxRows& s, const In* in, unsigned row) : data(in + row * s.in_stride) {
    if constexpr (kAligned) {
      begin = 0, visible = end = static_cast<int>(s.seq_k), chunks = end / kElements;
    } else {
      begin = misalignment(), data -= begin, offset = -begin;
      visible = begin + static_cast<int>(s.visible_keys(row)), end = begin + static_cast<int>(s.seq_k);
      chunks = (end + kElements - 1) / kElements;
      // A chunk reaches at most kElements rows beyond this one.
      const unsigned rows_after = static_cast<unsigned>(s.rows) - 1 - row;
      const auto stride = static_cast<int>(min(s.in_stride, int64_t{kElements}));
      readable_begin = max(begin - static_cast<int>(min(row, unsigned{kElements})) * stride, 0);
      readable_end = end + static_cast<int>(min(rows_after, unsigned{kElements})) * stride;
    }
  }

  /// Slice `index` of a row cut into slices of `slice_chunks` chunks; the last has the rest.
  __device__ RowSlice(const SoftmaxRows& s, const In* in, unsigned row, unsigned index, int slice_chunks)
      : data(in + row * s.in_stride) {
    const int row_misalignment = kAligned ? 0 : misalignment(), skipped = kFixed ? 0 : row_misalignment;
    const int64_t before = int64_t{index} * slice_chunks, all = (skipped + s.seq_k + kElements - 1) / kElements;
    chunks = static_cast<int>(max(min(int64_t{slice_chunks}, all - before), int64_t{0}));
    offset = before * kElements - skipped, data += offset;
    const int64_t size = int64_t{kElements} * chunks;
    const auto position = [&](int64_t element, int64_t limit) {
      return static_cast<int>(max(min(element - offset, limit), int64_t{0}));
    };
    if constexpr (kAligned) {
      begin = 0, visible = end = static_cast<int>(size);
    } else {
      begin = position(0, size), visible = position(s.visible_keys(row), size), end = position(s.seq_k, size);
      readable_begin = position(-(row * s.in_stride), size);
      readable_end = position((s.rows - 1 - row) * s.in_stride + s.seq_k, size);
      if (kFixed && row_misalignment != 0) readable_end = 0;
    }
  }

  /// Whether a chunk, given by its position, has any of the slice.
  __device__ bool contains(int chunk) const { return chunk < end; }

  /// Whether a chunk is loaded with one vector load.
  __device__ bool is_vectorized(int chunk) const {
    return chunk < visible && (kAligned || (chunk >= readable_begin && chunk + kElements <= readable_end));
  }

  /// Sets the elements of a loaded chunk that are not visible to −∞. Loads it first if it is not vectorized.
  __device__ void complete(cuda::Chunk<In>& chunk, int position) const {
    if (position >= visible) fill(chunk);
    if constexpr (!kAligned) mask(chunk, position);
  }

  /// Loads the chunks `first`, `first + step`, …, with all loads in flight at once. Chunks that are not loaded are filled before
  /// any load: filling them later made the compiler wait for loads in between (1.10 to 1.30 times as long for 65536 to 262144
  /// keys, H200).
  template <int kCount>
  __device__ void load(cuda::Chunk<In> (&to)[kCount], int first, int step) const {
#pragma unroll
    for (int c = 0; c < kCount; ++c) {
      const int position = (first + c * step) * kElements;
      fill(to[c]);
      if (is_vectorized(position)) cuda::load_streaming(to[c], data + position);
    }
    if constexpr (!kAligned)
#pragma unroll
      for (int c = 0; c < kCount; ++c) mask(to[c], (first + c * step) * kElements);
  }

  /// Stores a chunk's results to the output row `y`, zeros for masked keys.
  template <typename Out>
  __device__ void store(const float (&results)[kElements], Out* y, int position) const {
    Out* const to = y + offset + position;
    if constexpr (kAligned) {
      if (position < end) cuda::store_vector(results, to);
    } else {
      if (position >= end) return;
      if (is_visible(position) && cuda::is_vector_aligned<Out, kElements>(to)) {
        cuda::store_vector(results, to);
      } else if (sizeof(In) == sizeof(Out) && cuda::is_vector_aligned<Out, kElements>(to)) {
        cuda::Chunk<Out> chunk;
#pragma unroll
        for (int i = 0; i < cuda::kChunkElements<Out>; i += 2) cuda::store_pair(chunk.elements + i, results[i], results[i + 1]);
        cuda::mask_outside(chunk, 0, visible - position, cuda::from_float<Out>(0));
        cuda::store_range(chunk, to, begin - position, end - position);
      } else {
#pragma unroll
        for (int i = 0; i < kElements; ++i)
          if (position + i >= begin && position + i < end)
            to[i] = cuda::from_float<Out>(position + i < visible ? results[i] : 0.0f);
      }
    }
  }

 private:
  // Elements between the last multiple of 16 bytes and `data`.
  __device__ int misalignment() const { return static_cast<int>(reinterpret_cast<uintptr_t>(data) % 16 / sizeof(In)); }

  // Whether all of a chunk is visible.
  __device__ bool is_visible(int position) const { return position >= begin && position + kElements <= visible; }

  __device__ static void fill(cuda::Chunk<In>& chunk) {
#pragma unroll
    for (unsigned& word : chunk.words) word = cuda::splat_word(cuda::from_float<In>(-INFINITY));
  }

  // Completes a chunk that is partly visible.
  __device__ void mask(cuda::Chunk<In>& chunk, int position) const {
    if (position >= visible || (is_visible(position) && (!kFixed || readable_end > 0))) return;
    const In none = cuda::from_float<In>(-INFINITY);
    if (is_vectorized(position))
      cuda::mask_outside(chunk, begin - position, visible - position, none);
    else
#pragma unroll
      for (int i = 0; i < kElements; ++i)
        chunk.elements[i] = position + i >= begin && position + i < visible ? data[position + i] : none;
  }
};

/// Adds some chunks' terms to a running maximum and sum.
template <typename In, int kCount>
__device__ void accumulate(cuda::MaxSum& all, const cuda::Chunk<In> (&chunks)[kCount], const cuda::Exponential& exponential) {
  const float max = cuda::max_of(chunks);
  if (max > all.max) {
    all.sum *= cuda::rescale(all.max, max, exponential);
    all.max = max;
  }
  const float base = all.max == -INFINITY ? 0.0f : all.max;
  float sum = 0;
#pragma unroll
  for (const cuda::Chunk<In>& chunk : chunks)
#pragma unroll
    for (int i = 0; i < cuda::kChunkElements<In>; ++i) sum += exponential.approx(cuda::element(chunk, i) - base);
  all.sum += sum;
}

/// Turns a row's terms into results: e^(term − max) / sum. For 16-bit results the division is a subtraction in the exponent. If
/// all terms are −∞, the exponentials are 0 and the sum is 0, which gives the NaN that such a row has.
template <typename Out>
class Normalization {
 public:
  __device__ explicit Normalization(const cuda::MaxSum& all)
      : base_(all.max == -INFINITY ? 0.0f : all.max), factor_(kInExponent ? -log2f(all.sum) : 1.0f / all.sum) {}

  template <typename In, RowAlignment kAlignment>
  __device__ void store(const RowSlice<In, kAlignment>& slice, const cuda::Chunk<In>& chunk, Out* y, int position,
                        const cuda::Exponential& exponential) const {
    float results[cuda::kChunkElements<In>];
#pragma unroll
    for (int i = 0; i < cuda::kChunkElements<In>; ++i) {
      const float d = cuda::element(chunk, i) - base_;
      results[i] = kInExponent ? exponential.approx(d, factor_) : exponential(d) * factor_;
    }
    slice.store(results, y, position);
  }

 private:
  static constexpr bool kInExponent = sizeof(Out) == 2;
  float base_, factor_;
};

}  // namespace metallic::softmax
