// What every matmul variant promises, and what all of them share.
//
// C[M,N] = alpha·op(A)·op(B) + beta·C for each matrix of the batch, f32 accumulation; beta = 0 writes C without reading
// it, K = 0 gives beta·C. Each element is within 2·γ_K·|alpha|·Σ|a||b| + 2u·|beta·c| of the exact value (u = 2⁻²⁴,
// γ_K = K·u/(1−K·u)); integer-valued operands whose sums stay below 2²⁴ are exact. NaN and infinities propagate.
#pragma once

#include <cstdint>

#include "core/problem.h"

namespace metallic::matmul {

/// An operand as a matrix with a stride in each direction, whatever way it is stored.
struct Strided {
  const float* data;
  int64_t row;     ///< elements from one row of op(X) to the next
  int64_t column;  ///< elements from one column to the next
};

inline Strided operand_a(const MatmulShape& shape, const void* a, int64_t batch) {
  const float* data = static_cast<const float*>(a) + batch * shape.batch_stride_a;
  return shape.ta ? Strided{data, 1, shape.lda} : Strided{data, shape.lda, 1};
}

inline Strided operand_b(const MatmulShape& shape, const void* b, int64_t batch) {
  const float* data = static_cast<const float*>(b) + batch * shape.batch_stride_b;
  return shape.tb ? Strided{data, 1, shape.ldb} : Strided{data, shape.ldb, 1};
}

/// Multiply-adds that make a task worth a thread: about 5 µs of work, the price of waking one.
inline constexpr double kGrain = 131072;

}  // namespace metallic::matmul
