// SPDX-License-Identifier: Apache-2.0
// A matrix product as the tiled CUDA kernels see it: sizes, strides of the operands, and the steps of K of a block.
#pragma once

#include <cstdint>
#include <utility>

#include "base/dtype.h"
#include "ops/matmul/shape.h"
#include "ops/problem.h"

namespace metallic::matmul {

/// An operand as `rows` × K: either K-major (rows along K) or stored transposed. Strides in elements.
struct GemmOperand {
  int64_t rows;
  int64_t stride;  ///< from one stored row to the next
  int64_t batch_stride;
};

/// C[m,n] = alpha·A[m,k]·B[n,k]ᵀ + beta·C.
struct GemmShape {
  int64_t m, k, n;
  GemmOperand a, b;
  int64_t c_stride_m, c_stride_n, c_batch_stride;
  float alpha, beta;

  explicit GemmShape(const MatmulShape& s)
      : m(s.m),
        k(s.k),
        n(s.n),
        a{s.m, s.lda, s.batch_stride_a},
        b{s.n, s.ldb, s.batch_stride_b},
        c_stride_m(s.ldc),
        c_stride_n(1),
        c_batch_stride(s.batch_stride_c),
        alpha(s.alpha),
        beta(s.beta) {}

  /// The same product as Cᵀ = Bᵀ·Aᵀ.
  GemmShape transposed() const {
    GemmShape s = *this;
    std::swap(s.m, s.n), std::swap(s.a, s.b), std::swap(s.c_stride_m, s.c_stride_n);
    return s;
  }
};

template <typename T>
inline constexpr int kBlockK = 128 / sizeof(T);  ///< K of a pipeline stage: 128 bytes of a row

constexpr int64_t block_k(DType dtype) { return 128 / static_cast<int64_t>(size_of(dtype)); }

/// The widest copies, in bytes, for which every row of every matrix is aligned: 16, 8, 4 or, for 16-bit elements, 2.
inline int max_copy_bytes(const void* data, size_t element_bytes, const GemmOperand& operand, int64_t batch) {
  const auto size = static_cast<int64_t>(element_bytes);
  const auto bits = reinterpret_cast<uintptr_t>(data) | static_cast<uintptr_t>(size * operand.stride) |
                    (batch > 1 ? static_cast<uintptr_t>(size * operand.batch_stride) : 0);
  return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

/// The K steps of a block: `count` steps of kBlockK, every `stride`-th from `first` on.
struct KSteps {
  int first, stride, count;
};

/// Split-K: `split` neighbouring blocks along x interleave the steps of a tile.
template <typename T>
__device__ KSteps k_steps(const GemmShape& s, unsigned split) {
  const int all = static_cast<int>((s.k + kBlockK<T> - 1) / kBlockK<T>), first = static_cast<int>(blockIdx.x % split);
  const int stride = static_cast<int>(split);
  return {first, stride, first < all ? (all - first + stride - 1) / stride : 0};
}

}  // namespace metallic::matmul
