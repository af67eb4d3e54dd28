// SPDX-License-Identifier: Apache-2.0
// The contract of every matmul variant, and the helpers that the variants share.
//
// C[M,N] = alpha·op(A)·op(B) + beta·C for each matrix of the batch, with f32 accumulation for every storage type. beta = 0 writes
// C without reading it, and K = 0 gives beta·C. Each element is within 2·γ_K·|alpha|·Σ|a||b| + 2u·|beta·c| of the exact value (u
// = 2⁻²⁴, γ_K = K·u/(1−K·u)), and then rounded once to the output's type. Integer-valued operands whose sums stay below 2²⁴ give
// exact results. NaN and infinities propagate. Denormal bf16 inputs may count as 0, and so may their sums below 2⁻¹²⁶.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

#include "ops/element.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/problem.h"

namespace metallic::matmul {

/// An operand op(X) as a matrix with a stride in each direction.
template <typename T>
struct Strided {
  const T* data;
  int64_t row;     ///< elements from one row of op(X) to the next
  int64_t column;  ///< elements from one column to the next

  const T& at(int64_t i, int64_t j) const { return data[i * row + j * column]; }
};

template <typename T>
Strided<T> operand_a(const MatmulShape& shape, const void* a, int64_t batch) {
  const T* data = static_cast<const T*>(a) + batch * shape.batch_stride_a;
  return shape.ta ? Strided<T>{data, 1, shape.lda} : Strided<T>{data, shape.lda, 1};
}

template <typename T>
Strided<T> operand_b(const MatmulShape& shape, const void* b, int64_t batch) {
  const T* data = static_cast<const T*>(b) + batch * shape.batch_stride_b;
  return shape.tb ? Strided<T>{data, 1, shape.ldb} : Strided<T>{data, shape.ldb, 1};
}

/// The same with a type that is known at run time.
struct Operand {
  DType dtype;
  const void* data;
  int64_t row, column;  ///< in elements, as above

  const void* at(int64_t i, int64_t j) const {
    return static_cast<const std::byte*>(data) + (i * row + j * column) * static_cast<int64_t>(size_of(dtype));
  }
  template <typename T>
  Strided<T> as() const {
    return {static_cast<const T*>(data), row, column};
  }
};

inline Operand operand_a(const MatmulShape& shape, DType dtype, const void* a, int64_t batch) {
  return with_type(dtype, [&]<typename T>(T) -> Operand {
    const Strided<T> typed = operand_a<T>(shape, a, batch);
    return {dtype, typed.data, typed.row, typed.column};
  });
}

inline Operand operand_b(const MatmulShape& shape, DType dtype, const void* b, int64_t batch) {
  return with_type(dtype, [&]<typename T>(T) -> Operand {
    const Strided<T> typed = operand_b<T>(shape, b, batch);
    return {dtype, typed.data, typed.row, typed.column};
  });
}

/// Reads B, packed or not, one element at a time: for reference code, not for kernels.
template <typename T>
class ElementsOfB {
 public:
  ElementsOfB(const MatmulShape& shape, DType dtype, const void* b, int64_t batch)
      : stored_(operand_b<T>(shape, b, batch)), packed_(shape.packed), dtype_(dtype), k_(shape.k) {}
  const T& at(int64_t k, int64_t j) const { return packed_ ? stored_.data[packed_index(dtype_, k_, k, j)] : stored_.at(k, j); }

 private:
  Strided<T> stored_;
  bool packed_;
  DType dtype_;
  int64_t k_;
};

/// Why a variant that takes B as a matrix cannot compute a problem, or nothing.
inline std::optional<std::string> refuses_packed(const Problem& problem) {
  if (problem.as<MatmulShape>().packed) return "B is packed";
  return std::nullopt;
}

/// Element (i, j) of a matrix of the output.
inline void* output_at(const MatmulShape& shape, DType dtype, void* c, int64_t batch, int64_t i, int64_t j) {
  const int64_t at = batch * shape.batch_stride_c + i * shape.ldc + j;
  return static_cast<std::byte*>(c) + at * static_cast<int64_t>(size_of(dtype));
}

/// Multiply-adds per nanosecond on one thread, in cache (Zen 4 at 2.6 GHz, f32: 53 at 64³, 50 at 128 × 128 times 16 columns).
inline constexpr double kPerNs = 50;

}  // namespace metallic::matmul
