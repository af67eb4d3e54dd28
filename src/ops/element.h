// SPDX-License-Identifier: Apache-2.0
// Converts single elements of tensors between f32, f16 or bf16 storage and numbers.
#pragma once

#include <hwy/base.h>

#include <bit>
#include <cstdint>
#include <type_traits>

#include "base/dtype.h"

namespace metallic {

using hwy::bfloat16_t;
using hwy::float16_t;

inline float to_float(float x) { return x; }
/// Without F16C, the compiler's own conversion is a call that takes ten times as long. Shifted into place, normal and denormal
/// numbers are 2¹¹² times too small; the factor corrects that. Infinities and NaN get their exponent.
inline float to_float(float16_t x) {
  const uint32_t magnitude = x.bits & 0x7fffu, sign = (x.bits & 0x8000u) << 16;
  const float finite = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  const uint32_t special = magnitude > 0x7bff ? 0x7f800000u : 0;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(finite) | special | sign);
}
inline float to_float(bfloat16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

/// Rounds to nearest, ties to even; overflow gives infinity. Highway's conversion to bfloat16_t truncates instead.
template <typename T>
T from_double(double x) {
  return static_cast<T>(x);
}
template <>
inline float16_t from_double<float16_t>(double x) {
  return {std::bit_cast<uint16_t>(static_cast<_Float16>(x))};
}
template <>
inline bfloat16_t from_double<bfloat16_t>(double x) {
  const auto bits = std::bit_cast<uint32_t>(static_cast<float>(x));
  if (x != x) return {static_cast<uint16_t>(bits >> 16 | 0x40)};  // a quiet NaN
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

/// Calls function(T{}) with the storage type of `dtype`.
template <typename Function>
decltype(auto) with_type(DType dtype, const Function& function) {
  switch (dtype) {
    case DType::f16: return function(float16_t{});
    case DType::bf16: return function(bfloat16_t{});
    default: return function(float{});
  }
}

/// Calls function(In{}, Out{}) with the storage types of input and output. In a valid Problem they are equal, or one is f32.
template <typename Function>
decltype(auto) with_types(DType dtype, DType out_dtype, const Function& function) {
  return with_type(dtype, [&]<typename In>(In in) -> decltype(auto) {
    if constexpr (std::is_same_v<In, float>)
      return with_type(out_dtype, [&](auto out) -> decltype(auto) { return function(in, out); });
    else
      return out_dtype == DType::f32 ? function(in, float{}) : function(in, in);
  });
}

/// The i-th element of a tensor of any type.
inline double element(DType dtype, const void* data, int64_t i) {
  return with_type(dtype, [&]<typename T>(T) -> double { return to_float(static_cast<const T*>(data)[i]); });
}

/// Stores x as the i-th element.
inline void set_element(DType dtype, void* data, int64_t i, double x) {
  with_type(dtype, [&]<typename T>(T) { static_cast<T*>(data)[i] = from_double<T>(x); });
}

}  // namespace metallic
