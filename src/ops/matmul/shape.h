// SPDX-License-Identifier: Apache-2.0
// The product of two matrices, or of as many pairs as a batch has.
#pragma once

#include <cstdint>

#include "ops/problem.h"

namespace metallic {

extern const Operation matmul_operation;

/// C[M,N] = alpha·op(A)[M,K]·op(B)[K,N] + beta·C, all row-major. A is stored [K,M] with `ta`, B [N,K] with `tb`.
/// With beta = 0, C is written without being read. With `packed`, B is one matrix stored as ops/matmul/packed.h says, whatever
/// its order was before: `tb` is false, and ldb and batch_stride_b are 0. Axes: big = max(M, N), n = min(M, N), side = 0 if the
/// weights are in A and 1 if they are in B.
struct MatmulShape {
  static const Operation& operation() { return matmul_operation; }

  int64_t batch = 1;
  int64_t m = 0;
  int64_t k = 0;
  int64_t n = 0;
  bool ta = false;
  bool tb = false;
  bool packed = false;
  float alpha = 1;
  float beta = 0;
  int64_t lda = 0;  ///< elements from one stored row to the next, at least a row
  int64_t ldb = 0;
  int64_t ldc = 0;
  int64_t batch_stride_a = 0;  ///< elements from one matrix to the next, ≥ 0
  int64_t batch_stride_b = 0;
  int64_t batch_stride_c = 0;

  int64_t big() const { return m > n ? m : n; }
  int64_t small() const { return m > n ? n : m; }

  /// Which operand holds the weights: A if M > N, B if N > M or B is packed; a square has them in A, with `tb` in B.
  bool weights_in_a() const { return !packed && (m > n || (m == n && !tb)); }

  bool contiguous() const;

  /// Whether all rows of A and B begin at multiples of that many elements if both matrices do.
  bool rows_begin_evenly(int64_t elements) const { return (lda | ldb | batch_stride_a | batch_stride_b) % elements == 0; }

  bool operator==(const MatmulShape&) const = default;
};

inline const Op kMatmul(matmul_operation);

/// A contiguous problem; set strides afterwards if they differ.
Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta = false, bool tb = false, int64_t batch = 1);

/// Gives a matmul whose batch is 1 packed weights for B.
void make_packed(MatmulShape& matmul);

}  // namespace metallic
