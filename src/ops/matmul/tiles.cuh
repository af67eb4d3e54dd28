// Matrices in CUDA's tiled products: where operands lie, and their tiles on the way through shared memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "ops/problem.h"
#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/element.cuh"

namespace metallic::matmul {

/// An operand as rows of `rows` × K, or stored the other way round; strides in elements.
struct Matrix {
  int64_t rows, stride, batch;
};

struct Shape {
  int64_t m, k, n;
  Matrix a, b;
  int64_t c_m, c_n, batch_c;  // strides of C
  float alpha, beta;

  explicit Shape(const MatmulShape& s)
      : m(s.m),
        k(s.k),
        n(s.n),
        a{s.m, s.lda, s.batch_stride_a},
        b{s.n, s.ldb, s.batch_stride_b},
        c_m(s.ldc),
        c_n(1),
        batch_c(s.batch_stride_c),
        alpha(s.alpha),
        beta(s.beta) {}

  /// The same as Cᵀ = Bᵀ·Aᵀ.
  Shape transposed() const {
    Shape s = *this;
    std::swap(s.m, s.n), std::swap(s.a, s.b), std::swap(s.c_m, s.c_n);
    return s;
  }
};

/// The widest copies, in bytes, that the begins of all rows of all matrices allow: 16, 8, 4 or, of 16-bit elements, 2.
template <typename T>
int copied_width(const T* operand, const Matrix& matrix, int64_t batch) {
  constexpr int64_t kBytes = sizeof(T);
  const auto bits = reinterpret_cast<uintptr_t>(operand) | static_cast<uintptr_t>(kBytes * matrix.stride) |
                    (batch > 1 ? static_cast<uintptr_t>(kBytes * matrix.batch) : 0);
  return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

/// C at (i, j) from its sum.
template <typename Out>
__device__ void store(const Shape& s, Out* c, int64_t i, int64_t j, float sum) {
  if (i >= s.m || j >= s.n) return;
  Out& to = c[i * s.c_m + j * s.c_n];
  const float scaled = s.alpha * sum;
  to = cuda::from_float<Out>(s.beta == 0 ? scaled : fmaf(s.beta, cuda::to_float(to), scaled));
}

/// Two neighbours along n, or along m, the first at an even place of the tile: in one store where the address allows it.
template <typename Out>
__device__ void store_neighbours(const Shape& s, Out* c, int64_t i, int64_t j, float first, float second, bool along_n) {
  Out* const to = c + i * s.c_m + j * s.c_n;
  const bool all = along_n ? i < s.m && j + 1 < s.n : j < s.n && i + 1 < s.m;
  if (sizeof(Out) == 2 && (along_n ? s.c_n : s.c_m) == 1 && s.beta == 0 && all && reinterpret_cast<uintptr_t>(to) % 4 == 0) {
    cuda::set_pair(to, s.alpha * first, s.alpha * second);
  } else {
    store(s, c, i, j, first);
    store(s, c, along_n ? i : i + 1, along_n ? j + 1 : j, second);
  }
}

template <typename T>
inline constexpr int kOf = 16 / sizeof(T);  // elements of a chunk
template <typename T>
inline constexpr int kDepth = 8 * kOf<T>;  // K of a stage: 128 bytes of a row

/// A tile of kRows × kDepth in shared memory, as rows along K, or as kDepth rows along the other dimension where the operand is
/// stored so. 16-byte chunks are permuted within a row so that eight rows' chunks lie in different banks.
template <typename T, int kRows, bool kAlongK>
struct Tile {
  static constexpr int kOuter = kAlongK ? kRows : kDepth<T>, kChunks = (kAlongK ? kDepth<T> : kRows) / kOf<T>;
  static constexpr int kElements = kRows * kDepth<T>;
  static constexpr int kPlaces = std::min(kChunks, 8);  // of a chunk; rows of fewer share a line of banks
  __device__ static int place(int outer, int chunk) {
    return (outer * kChunks + (chunk ^ outer * kPlaces / 8 % kPlaces)) * kOf<T>;
  }

  // Of one row four numbers along K.
  __device__ static void four(float (&to)[4], const float* tile, int row, int k) {
    if constexpr (kAlongK) {
      const float4 all = *reinterpret_cast<const float4*>(tile + place(row, k / 4));
      to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) to[i] = tile[place(k + i, row / 4) + row % 4];
    }
  }

  // Four 8 × 8 fragments of 16 rows (lanes 0..15 name them) × 16 K, as the instruction wants the operand: for A rows 0..7 and
  // 8..15 of the first eight K, then of the others.
  __device__ static void fragments(unsigned (&to)[4], const T* tile, int row, int k) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int outer, chunk;
    if constexpr (kAlongK)
      outer = row + lane % 16, chunk = k / kOf<T> + lane / 16;
    else
      outer = k + lane % 8 + lane / 16 * 8, chunk = row / kOf<T> + lane / 8 % 2;
    const auto address =
        static_cast<unsigned>(__cvta_generic_to_shared(tile)) + static_cast<unsigned>(sizeof(T) * place(outer, chunk));
    if constexpr (kAlongK)
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(address));
    else
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                   : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                   : "r"(address));
  }
};

/// The steps of K, kDepth each, that a block goes through: `count`, each `apart`-th from `first` on.
struct Steps {
  int first, apart, count;
};

/// Those of this block, where `split` neighbours along x share K. An int counts them whatever memory holds.
template <typename T>
__device__ Steps steps_of(const Shape& s, unsigned split) {
  const int all = static_cast<int>((s.k + kDepth<T> - 1) / kDepth<T>), first = static_cast<int>(blockIdx.x % split);
  const int apart = static_cast<int>(split);
  return {first, apart, first < all ? (all - first + apart - 1) / apart : 0};
}

/// Copies the tiles of an operand that a block goes through along K, by kThreads threads from kFirst on; each has its chunks at
/// the same places of all, one below the other.
template <typename T, int kRows, bool kAlongK, int kFirst, int kThreads>
class Copier {
  using Of = Tile<T, kRows, kAlongK>;
  static constexpr int kApart = kThreads / Of::kChunks, kEach = Of::kOuter / kApart;
  static_assert(kApart % 8 == 0 && kEach * kApart == Of::kOuter, "a thread's chunks are permuted alike");
  // Elements that no copy takes go through registers: where these suffice, those of the next tile are on their way meanwhile.
  static constexpr bool kByElement = sizeof(T) == 2, kAhead = kByElement && kEach <= 4;
  static constexpr int kHeld = kEach < 4 ? kEach : 4;  // chunks on their way together

 public:
  // `width`: 16, 8 or 4 bytes, what the operand's place and stride allow at once, or 2: elements are copied one by one.
  __device__ Copier(const T* from, const Matrix& matrix, int64_t first, int64_t depth, const Steps& steps, int width)
      : origin_(from),
        stride_(matrix.stride),
        depth_(depth),
        k_(int64_t{kDepth<T>} * steps.first),
        k_apart_(kDepth<T> * steps.apart),
        width_(width) {
    const int64_t rows_left = matrix.rows - first, row = kAlongK ? first : k_, column = kAlongK ? k_ : first;
    from_ = from + (row + outer()) * stride_ + column + chunk() * kOf<T>;
    // Rows of the tile that there are, or elements of a chunk along them.
    there_ = static_cast<int>(kAlongK ? min(rows_left, int64_t{kRows}) : clamp(rows_left - chunk() * kOf<T>));
    all_there_ = width == 16 && (kAlongK ? there_ > outer() + (kEach - 1) * kApart : there_ == kOf<T>);
  }

  // Before the first copy, by the threads that copy.
  __device__ void begin() {
    if (kAhead && width_ == 2) fetch(0);
  }

  // Starts copying the next tile; zeros beyond the operand.
  __device__ void copy(T* to) {
    T* const place = to + Of::place(outer(), chunk());
    if (all_there_ && k_ + kDepth<T> <= depth_) {
#pragma unroll
      for (int i = 0; i < kEach; ++i)
        cuda::start_copy<16>(place + i * kApart * Of::kChunks * kOf<T>, from_ + i * kApart * stride_);
      next();
    } else if (kByElement && width_ == 2) {
#pragma unroll
      for (int first = 0; first < kEach; first += kHeld) {
        if (!kAhead) fetch(first);
#pragma unroll
        for (int i = 0; i < kHeld; ++i)
          *reinterpret_cast<uint4*>(place + (first + i) * kApart * Of::kChunks * kOf<T>) = held_[i].bits;
      }
      next();
      if (kAhead) fetch(0);
    } else {
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
        const int count = count_of(i);
        copy_chunk(place + i * kApart * Of::kChunks * kOf<T>, count > 0 ? from_ + i * kApart * stride_ : origin_,
                   static_cast<int>(sizeof(T)) * count);
      }
      next();
    }
  }

 private:
  __device__ static int outer() { return (static_cast<int>(threadIdx.x) - kFirst) / Of::kChunks; }
  __device__ static int chunk() { return (static_cast<int>(threadIdx.x) - kFirst) % Of::kChunks; }
  __device__ static int clamp(int64_t elements) { return static_cast<int>(max(int64_t{0}, min(int64_t{kOf<T>}, elements))); }

  // Elements that there are of this thread's chunk `i` of the next tile.
  __device__ int count_of(int i) const {
    const int64_t left = depth_ - k_;
    const int of_chunk = kAlongK ? clamp(left - chunk() * kOf<T>) : there_;
    const int outer_end = kAlongK ? there_ : static_cast<int>(min(left, int64_t{kDepth<T>}));
    return outer() + i * kApart < outer_end ? of_chunk : 0;
  }

  __device__ void next() {
    k_ += k_apart_;
    from_ += kAlongK ? k_apart_ : k_apart_ * stride_;
  }

  // Loads this thread's chunks from `first` on of the next tile, all before any is needed.
  __device__ void fetch(int first) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int count = count_of(first + i);
      const T* const from = from_ + (first + i) * kApart * stride_;
#pragma unroll
      for (int e = 0; e < kOf<T>; ++e) {
        held_[i].at[e] = cuda::from_float<T>(0);
        if (e < count) held_[i].at[e] = from[e];
      }
    }
  }

  __device__ void copy_chunk(T* to, const T* from, int bytes) const {
    if (width_ == 16)
      cuda::start_copy<16>(to, from, bytes);
    else if (width_ == 8)
      copy_parts<8>(to, from, bytes);
    else
      copy_parts<4>(to, from, bytes);
  }

  template <int kBytes>
  __device__ void copy_parts(T* to, const T* from, int bytes) const {
    constexpr int kSize = sizeof(T);
#pragma unroll
    for (int part = 0; part < 16; part += kBytes)
      cuda::start_copy<kBytes>(to + part / kSize, bytes > part ? from + part / kSize : origin_,
                               max(0, min(kBytes, bytes - part)));
  }

  const T* origin_;  // where it is safe to point
  const T* from_;
  int64_t stride_, depth_, k_;  // k_: where the next tile begins
  int k_apart_, width_, there_;
  bool all_there_;  // this thread's chunks of a tile within K, in one copy each
  cuda::Chunk<T> held_[kHeld];
};

/// The tiles of both operands that a block goes through, kStages of which are on their way or in use; kThreads threads from
/// kFirst on copy them.
template <typename T, int kRowsA, bool kAAlongK, int kRowsB, bool kBAlongK, int kStages, int kFirst, int kThreads>
class Tiles {
 public:
  using A = Tile<T, kRowsA, kAAlongK>;
  using B = Tile<T, kRowsB, kBAlongK>;
  static constexpr size_t kBytes = size_t{sizeof(T)} * kStages * (A::kElements + B::kElements);

  /// In kBytes of shared memory, from rows `first_a` and `first_b` on; copies as wide as copied_width says.
  __device__ Tiles(const Shape& s, const Steps& steps, const T* a, int64_t first_a, int width_a, const T* b, int64_t first_b,
                   int width_b, void* memory)
      : copier_a_(a, s.a, first_a, s.k, steps, width_a),
        copier_b_(b, s.b, first_b, s.k, steps, width_b),
        memory_(static_cast<T*>(memory)),
        count_(steps.count) {}

  /// Before the first start, by the threads that copy.
  __device__ void begin() {
    copier_a_.begin();
    copier_b_.begin();
  }

  /// Starts copying the tiles of the i-th step, each after the one before, or nothing behind the last; a group of copies for
  /// each.
  __device__ void start(int i) {
    if (i < count_) {
      copier_a_.copy(place_a(i));
      copier_b_.copy(place_b(i));
    }
    cuda::end_copies();
  }

  __device__ const T* a(int i) const { return place_a(i); }
  __device__ const T* b(int i) const { return place_b(i); }

 private:
  // Divided without a sign in 32 bits, since each step does so.
  __device__ static int stage(int i) { return static_cast<int>(static_cast<unsigned>(i) % kStages); }
  __device__ T* place_a(int i) const { return memory_ + stage(i) * A::kElements; }
  __device__ T* place_b(int i) const { return memory_ + kStages * A::kElements + stage(i) * B::kElements; }

  Copier<T, kRowsA, kAAlongK, kFirst, kThreads> copier_a_;
  Copier<T, kRowsB, kBAlongK, kFirst, kThreads> copier_b_;
  T* memory_;
  int count_;
};

}  // namespace metallic::matmul
