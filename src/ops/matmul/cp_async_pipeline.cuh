// SPDX-License-Identifier: Apache-2.0
// A multi-stage cp.async pipeline: threads copy operand tiles from global to shared memory, whatever their order and alignment.
#pragma once

#include <cstdint>

#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/element.cuh"
#include "ops/matmul/gemm_shape.cuh"
#include "ops/matmul/smem_tile.cuh"

namespace metallic::matmul {

/// Copies one operand's tiles along K, by kThreads threads from kFirstThread on. A thread copies chunks at the same offsets of
/// every tile, kRowsApart stored rows from each other.
template <typename T, int kRows, bool kAlongK, int kFirstThread, int kThreads>
class TileCopier {
  using Tile = SmemTile<T, kRows, kAlongK>;
  static constexpr int kChunkElements = cuda::kChunkElements<T>;
  static constexpr int kRowsApart = kThreads / Tile::kRowChunks, kThreadChunks = Tile::kStoredRows / kRowsApart;
  static_assert(kRowsApart % 8 == 0 && kThreadChunks * kRowsApart == Tile::kStoredRows, "a thread's chunks share a swizzle");
  // cp.async cannot copy 2 bytes, so such operands pass through registers. If these suffice, the next tile is prefetched.
  static constexpr bool kElementwise = sizeof(T) == 2, kPrefetch = kElementwise && kThreadChunks <= 4;
  static constexpr int kHeldChunks = kThreadChunks < 4 ? kThreadChunks : 4;

 public:
  /// `copy_bytes`: what max_copy_bytes says. `first_row`: of the operand's rows. `k_size`: K of the product.
  __device__ TileCopier(const T* operand, const GemmOperand& layout, int64_t first_row, int64_t k_size, const KSteps& steps,
                        int copy_bytes)
      : operand_(operand),
        stride_(layout.stride),
        k_size_(k_size),
        k_(int64_t{kBlockK<T>} * steps.first),
        k_step_(kBlockK<T> * steps.stride),
        copy_bytes_(copy_bytes) {
    const int64_t rows_left = layout.rows - first_row, row = kAlongK ? first_row : k_, column = kAlongK ? k_ : first_row;
    from_ = operand + (row + stored_row()) * stride_ + column + chunk() * kChunkElements;
    valid_ = static_cast<int>(kAlongK ? min(rows_left, int64_t{kRows}) : clamp(rows_left - chunk() * kChunkElements));
    interior_ =
        copy_bytes == 16 && (kAlongK ? valid_ > stored_row() + (kThreadChunks - 1) * kRowsApart : valid_ == kChunkElements);
  }

  /// Once before the first copy.
  __device__ void prologue() {
    if (kPrefetch && copy_bytes_ == 2) fetch(0);
  }

  /// Starts copying the next tile, with zeros beyond the operand.
  __device__ void copy(T* tile) {
    T* const to = tile + Tile::offset(stored_row(), chunk());
    if (interior_ && k_ + kBlockK<T> <= k_size_) {
#pragma unroll
      for (int i = 0; i < kThreadChunks; ++i)
        cuda::cp_async<16>(to + i * kRowsApart * Tile::kRowChunks * kChunkElements, from_ + i * kRowsApart * stride_);
      advance();
    } else if (kElementwise && copy_bytes_ == 2) {
#pragma unroll
      for (int first = 0; first < kThreadChunks; first += kHeldChunks) {
        if (!kPrefetch) fetch(first);
#pragma unroll
        for (int i = 0; i < kHeldChunks; ++i)
          *reinterpret_cast<uint4*>(to + (first + i) * kRowsApart * Tile::kRowChunks * kChunkElements) = held_[i].bits;
      }
      advance();
      if (kPrefetch) fetch(0);
    } else {
#pragma unroll
      for (int i = 0; i < kThreadChunks; ++i) {
        const int count = valid_elements(i);
        copy_chunk(to + i * kRowsApart * Tile::kRowChunks * kChunkElements,
                   count > 0 ? from_ + i * kRowsApart * stride_ : operand_, static_cast<int>(sizeof(T)) * count);
      }
      advance();
    }
  }

 private:
  __device__ static int stored_row() { return (static_cast<int>(threadIdx.x) - kFirstThread) / Tile::kRowChunks; }
  __device__ static int chunk() { return (static_cast<int>(threadIdx.x) - kFirstThread) % Tile::kRowChunks; }
  __device__ static int clamp(int64_t elements) {
    return static_cast<int>(max(int64_t{0}, min(int64_t{kChunkElements}, elements)));
  }

  // Elements of this thread's chunk `i` of the next tile that are within the operand.
  __device__ int valid_elements(int i) const {
    const int64_t left = k_size_ - k_;
    const int in_chunk = kAlongK ? clamp(left - chunk() * kChunkElements) : valid_;
    const int valid_rows = kAlongK ? valid_ : static_cast<int>(min(left, int64_t{kBlockK<T>}));
    return stored_row() + i * kRowsApart < valid_rows ? in_chunk : 0;
  }

  __device__ void advance() {
    k_ += k_step_;
    from_ += kAlongK ? k_step_ : k_step_ * stride_;
  }

  // Loads this thread's chunks from `first` on of the next tile to registers, element by element; all loads are in flight at
  // once.
  __device__ void fetch(int first) {
#pragma unroll
    for (int i = 0; i < kHeldChunks; ++i) {
      const int count = valid_elements(first + i);
      const T* const from = from_ + (first + i) * kRowsApart * stride_;
#pragma unroll
      for (int e = 0; e < kChunkElements; ++e) {
        held_[i].elements[e] = cuda::from_float<T>(0);
        if (e < count) held_[i].elements[e] = from[e];
      }
    }
  }

  __device__ void copy_chunk(T* to, const T* from, int bytes) const {
    if (copy_bytes_ == 16)
      cuda::cp_async<16>(to, from, bytes);
    else if (copy_bytes_ == 8)
      copy_parts<8>(to, from, bytes);
    else
      copy_parts<4>(to, from, bytes);
  }

  template <int kBytes>
  __device__ void copy_parts(T* to, const T* from, int bytes) const {
    constexpr int kSize = sizeof(T);
#pragma unroll
    for (int part = 0; part < 16; part += kBytes)
      cuda::cp_async<kBytes>(to + part / kSize, bytes > part ? from + part / kSize : operand_, max(0, min(kBytes, bytes - part)));
  }

  const T* operand_;  // a valid address for copies of zero bytes
  const T* from_;     // this thread's first chunk of the next tile
  int64_t stride_, k_size_, k_;
  int k_step_, copy_bytes_;
  int valid_;      // rows of the tile, or elements of this thread's chunks across K, that are within the operand
  bool interior_;  // in that direction, all chunks of this thread are whole and copied in 16 bytes
  cuda::Chunk<T> held_[kHeldChunks];
};

/// kStages stages of both operands' tiles in shared memory; kThreads threads from kFirstThread on copy.
template <typename T, int kRowsA, bool kAAlongK, int kRowsB, bool kBAlongK, int kStages, int kFirstThread, int kThreads>
class CpAsyncPipeline {
 public:
  using TileA = SmemTile<T, kRowsA, kAAlongK>;
  using TileB = SmemTile<T, kRowsB, kBAlongK>;

  /// `first_a`, `first_b`: first row of the block's tiles; `copy_bytes_*`: see max_copy_bytes.
  __device__ CpAsyncPipeline(const GemmShape& s, const KSteps& steps, const T* a, int64_t first_a, int copy_bytes_a, const T* b,
                             int64_t first_b, int copy_bytes_b, void* smem)
      : copier_a_(a, s.a, first_a, s.k, steps, copy_bytes_a),
        copier_b_(b, s.b, first_b, s.k, steps, copy_bytes_b),
        smem_(static_cast<T*>(smem)),
        count_(steps.count) {}

  /// By the copying threads, once.
  __device__ void prologue() {
    copier_a_.prologue();
    copier_b_.prologue();
  }

  /// Starts copying the tiles of step `i`, in rising order, and commits a cp.async group, which is empty beyond the last step.
  __device__ void load(int i) {
    if (i < count_) {
      copier_a_.copy(stage_a(i));
      copier_b_.copy(stage_b(i));
    }
    cuda::cp_async_commit_group();
  }

  __device__ const T* a(int i) const { return stage_a(i); }
  __device__ const T* b(int i) const { return stage_b(i); }

 private:
  // An unsigned 32-bit remainder is the cheapest.
  __device__ static int stage(int i) { return static_cast<int>(static_cast<unsigned>(i) % kStages); }
  __device__ T* stage_a(int i) const { return smem_ + stage(i) * TileA::kElements; }
  __device__ T* stage_b(int i) const { return smem_ + kStages * TileA::kElements + stage(i) * TileB::kElements; }

  TileCopier<T, kRowsA, kAAlongK, kFirstThread, kThreads> copier_a_;
  TileCopier<T, kRowsB, kBAlongK, kFirstThread, kThreads> copier_b_;
  T* smem_;
  int count_;
};

}  // namespace metallic::matmul
