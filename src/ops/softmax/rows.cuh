// Rows as CUDA's softmax kernels go through them: where they lie, how much of each is visible, parts of them as 16-byte chunks,
// a chunk's share of the sum and its results.
#pragma once

#include <algorithm>

#include "ops/problem.h"
#include "ops/variant.h"
#include "ops/cuda/element.cuh"
#include "ops/cuda/reduce.cuh"

namespace metallic::softmax {

inline constexpr int64_t kMostRows = int64_t{1} << 30;             // so that a row's number fits an unsigned int
inline constexpr int64_t kMostElements = (int64_t{1} << 26) - 64;  // of a part of a row, so that 32 times a place fits an int

struct Rows {
  int64_t rows, seq_q, seq_k, offset, in_stride, out_stride;
  bool causal;
  cuda::Exponential exponential;

  explicit Rows(const SoftmaxShape& s)
      : rows(s.rows()),
        seq_q(std::max<int64_t>(1, s.seq_q)),
        seq_k(s.seq_k),
        offset(std::clamp(s.offset, -s.seq_q - 1, s.seq_k)),  // beyond, no row sees fewer or more; the sum is to fit
        in_stride(s.in_stride),
        out_stride(s.out_stride),
        causal(s.causal),
        exponential(s.scale) {}

  /// How many keys a row sees: the first that many.
  __device__ int64_t visible(unsigned row) const {
    if (!causal) return seq_k;
    const int64_t sees = row % static_cast<unsigned>(seq_q) + offset + 1;
    return sees < 0 ? 0 : sees < seq_k ? sees : seq_k;
  }
};

/// How rows lie. `aligned`: input and output begin, and rows' keys end, at multiples of 16 bytes, and no mask hides any.
/// `fixed`: anywhere, but a row's chunks begin with the row all the same, so that its sums do not depend on its place.
enum class Places { aligned, any, fixed };

/// Whether rows are `aligned`.
inline bool are_aligned(const Problem& problem, const Args& args) {
  const SoftmaxShape& s = problem.softmax();
  const auto in_size = static_cast<int64_t>(size_of(problem.dtype)), out_size = static_cast<int64_t>(size_of(problem.out_dtype));
  const auto begins = reinterpret_cast<uintptr_t>(args.in[0]) | reinterpret_cast<uintptr_t>(args.out);
  return !s.causal && s.seq_k * in_size % 16 == 0 && s.in_stride * in_size % 16 == 0 && s.out_stride * out_size % 16 == 0 &&
         begins % 16 == 0;
}

/// A row or part of one as chunks of 16 bytes that begin at multiples of 16 bytes, so that the row's first may begin before the
/// row. Places are elements from the part's begin on.
template <typename In, Places kPlaces>
struct Part {
  static constexpr int kOf = cuda::kChunk<In>;
  static constexpr bool kAligned = kPlaces == Places::aligned, kFixed = kPlaces == Places::fixed;
  const In* at;
  int64_t offset = 0;       ///< of place 0 in the row
  int chunks;               ///< how many there are
  int first, visible, end;  ///< places [first, visible) are keys that count, [visible, end) are hidden by the mask
  int least, most;          ///< places of the tensor: of chunks within, neighbouring rows' elements are read and not looked at

  /// All of a row of fewer than kMostElements.
  __device__ Part(const Rows& s, const In* in, unsigned row) : at(in + row * s.in_stride) {
    if constexpr (kAligned) {
      first = 0, visible = end = static_cast<int>(s.seq_k), chunks = end / kOf;
    } else {
      first = misplaced(), at -= first, offset = -first;
      visible = first + static_cast<int>(s.visible(row)), end = first + static_cast<int>(s.seq_k);
      chunks = (end + kOf - 1) / kOf;
      // Rows before and behind in which a chunk can lie.
      const unsigned behind = static_cast<unsigned>(s.rows) - 1 - row;
      const auto stride = static_cast<int>(min(s.in_stride, int64_t{kOf}));
      least = max(first - static_cast<int>(min(row, unsigned{kOf})) * stride, 0);
      most = end + static_cast<int>(min(behind, unsigned{kOf})) * stride;
    }
  }

  /// Part `part` of those that have `each` chunks, the last with what is left.
  __device__ Part(const Rows& s, const In* in, unsigned row, unsigned part, int each) : at(in + row * s.in_stride) {
    const int misplaced_by = kAligned ? 0 : misplaced(), skipped = kFixed ? 0 : misplaced_by;
    const int64_t before = int64_t{part} * each, all = (skipped + s.seq_k + kOf - 1) / kOf;
    chunks = static_cast<int>(max(min(int64_t{each}, all - before), int64_t{0}));
    offset = before * kOf - skipped, at += offset;
    const int64_t own = int64_t{kOf} * chunks;
    const auto place = [&](int64_t element, int64_t limit) {
      return static_cast<int>(max(min(element - offset, limit), int64_t{0}));
    };
    if constexpr (kAligned) {
      first = 0, visible = end = static_cast<int>(own);
    } else {
      first = place(0, own), visible = place(s.visible(row), own), end = place(s.seq_k, own);
      least = place(-(row * s.in_stride), own), most = place((s.rows - 1 - row) * s.in_stride + s.seq_k, own);
      if (kFixed && misplaced_by != 0) most = 0;
    }
  }

  /// Whether the tensor has anything of a chunk.
  __device__ bool has(int begin) const { return begin < end; }

  /// Whether a chunk is read at once.
  __device__ bool is_wide(int begin) const { return begin < visible && (kAligned || (begin >= least && begin + kOf <= most)); }

  /// Makes of a chunk, which was read if it is wide, one whose elements that do not count are −∞.
  __device__ void complete(cuda::Chunk<In>& chunk, int begin) const {
    if (begin >= visible) fill(chunk);
    if constexpr (!kAligned) mask(chunk, begin);
  }

  /// The chunks `from`, `from + step` and so on: all are on their way before any is looked at. What is not read is filled before:
  /// afterwards, that would wait for what is. (The compiler put loads behind such waits: rows of 65536 to 262144 keys took 1.10
  /// to 1.30 times as long on an H200.)
  template <int kCount>
  __device__ void load(cuda::Chunk<In> (&to)[kCount], int from, int step) const {
#pragma unroll
    for (int c = 0; c < kCount; ++c) {
      const int begin = (from + c * step) * kOf;
      fill(to[c]);
      if (is_wide(begin)) cuda::load_once(to[c], at + begin);
    }
    if constexpr (!kAligned)
#pragma unroll
      for (int c = 0; c < kCount; ++c) mask(to[c], (from + c * step) * kOf);
  }

  /// Stores what a chunk's elements became, 0 behind the mask, in the output's row `y`.
  template <typename Out>
  __device__ void store(const float (&results)[kOf], Out* y, int begin) const {
    Out* const to = y + offset + begin;
    if constexpr (kAligned) {
      if (begin < end) cuda::store_wide(results, to);
    } else {
      if (begin >= end) return;
      if (is_whole(begin) && cuda::is_wide_place<Out, kOf>(to)) {
        cuda::store_wide(results, to);
      } else if (sizeof(In) == sizeof(Out) && cuda::is_wide_place<Out, kOf>(to)) {
        cuda::Chunk<Out> chunk;
#pragma unroll
        for (int i = 0; i < cuda::kChunk<Out>; i += 2) cuda::set_pair(chunk.at + i, results[i], results[i + 1]);
        cuda::keep(chunk, 0, visible - begin, cuda::from_float<Out>(0));
        cuda::store_some(chunk, to, first - begin, end - begin);
      } else {
#pragma unroll
        for (int i = 0; i < kOf; ++i)
          if (begin + i >= first && begin + i < end) to[i] = cuda::from_float<Out>(begin + i < visible ? results[i] : 0.0f);
      }
    }
  }

 private:
  // Elements between the last multiple of 16 bytes and `at`.
  __device__ int misplaced() const { return static_cast<int>(reinterpret_cast<uintptr_t>(at) % 16 / sizeof(In)); }

  // Whether all of a chunk counts.
  __device__ bool is_whole(int begin) const { return begin >= first && begin + kOf <= visible; }

  __device__ static void fill(cuda::Chunk<In>& chunk) {
#pragma unroll
    for (unsigned& word : chunk.words) word = cuda::word_of(cuda::from_float<In>(-INFINITY));
  }

  // Of a chunk of which something is visible: makes −∞ of what is not, and reads element by element what was not read.
  __device__ void mask(cuda::Chunk<In>& chunk, int begin) const {
    if (begin >= visible || (is_whole(begin) && (!kFixed || most > 0))) return;
    const In none = cuda::from_float<In>(-INFINITY);
    if (is_wide(begin))
      cuda::keep(chunk, first - begin, visible - begin, none);
    else
#pragma unroll
      for (int i = 0; i < kOf; ++i) chunk.at[i] = begin + i >= first && begin + i < visible ? at[begin + i] : none;
  }
};

/// The largest of some chunks' terms and of those before, and the sum for it.
template <typename In, int kCount>
__device__ void add(cuda::MaxSum& all, const cuda::Chunk<In> (&chunks)[kCount], const cuda::Exponential& exponential) {
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
    for (int i = 0; i < cuda::kChunk<In>; ++i) sum += exponential.roughly(cuda::element(chunk, i) - base);
  all.sum += sum;
}

/// What makes a row's results of its terms: the exponential of the distance to the largest, times a factor, which for results of
/// 16 bits is added to the exponent. Where all terms are −∞ their exponentials are 0, which over a sum of 0 give the NaN that
/// such a row has.
template <typename Out>
class Normalization {
 public:
  __device__ explicit Normalization(const cuda::MaxSum& all)
      : base_(all.max == -INFINITY ? 0.0f : all.max), factor_(kAdded ? -log2f(all.sum) : 1.0f / all.sum) {}

  template <typename In, Places kPlaces>
  __device__ void store(const Part<In, kPlaces>& part, const cuda::Chunk<In>& chunk, Out* y, int begin,
                        const cuda::Exponential& exponential) const {
    float results[cuda::kChunk<In>];
#pragma unroll
    for (int i = 0; i < cuda::kChunk<In>; ++i) {
      const float d = cuda::element(chunk, i) - base_;
      results[i] = kAdded ? exponential.roughly(d, factor_) : exponential(d) * factor_;
    }
    part.store(results, y, begin);
  }

 private:
  static constexpr bool kAdded = sizeof(Out) == 2;
  float base_, factor_;
};

/// Elements of a chunk of the input.
inline int64_t elements_of_chunk(const Problem& problem) { return 16 / static_cast<int64_t>(size_of(problem.dtype)); }

/// Whether rows of a tensor that begins at a multiple of 16 bytes all do.
inline bool begins_evenly(const Problem& problem) { return problem.softmax().in_stride % elements_of_chunk(problem) == 0; }

/// Chunks that rows need at least, those that begin at multiples of 16 bytes, and at most, wherever they begin.
inline int64_t least_chunks(const Problem& problem) {
  const int64_t of = elements_of_chunk(problem);
  return (problem.softmax().seq_k + of - 1) / of;
}
inline int64_t most_chunks(const Problem& problem) {
  const int64_t of = elements_of_chunk(problem);
  return (problem.softmax().seq_k + 2 * (of - 1)) / of;
}

}  // namespace metallic::softmax
