// What CUDA's softmax kernels know of a problem: where rows lie and how much of each is visible.
#pragma once

#include <algorithm>

#include "core/problem.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/reduce.cuh"

namespace metallic::softmax {

struct Rows {
  int64_t rows, seq_q, seq_k, offset, in_stride, out_stride;
  bool causal;
  cuda::Exponential exponential;

  explicit Rows(const SoftmaxShape& s)
      : rows(s.rows()),
        seq_q(std::max<int64_t>(1, s.seq_q)),
        seq_k(s.seq_k),
        offset(s.offset),
        in_stride(s.in_stride),
        out_stride(s.out_stride),
        causal(s.causal),
        exponential(s.scale) {}

  /// How many keys a row sees: the first that many.
  __device__ int64_t visible(int64_t row) const {
    if (!causal) return seq_k;
    const int64_t sees = row % seq_q + offset + 1;
    return sees < 0 ? 0 : sees < seq_k ? sees : seq_k;
  }
};

/// Elements between the last multiple of 16 bytes and a row's begin: chunks begin there.
template <typename In>
__device__ int64_t before(const In* row) {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(In));
}

/// Chunks that rows need at most, wherever they begin.
inline int64_t most_chunks(int64_t seq_k, DType dtype) {
  const int64_t chunk = 16 / static_cast<int64_t>(size_of(dtype));
  return (seq_k + 2 * (chunk - 1)) / chunk;
}

}  // namespace metallic::softmax
