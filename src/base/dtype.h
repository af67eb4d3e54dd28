// SPDX-License-Identifier: Apache-2.0
// Element types of tensors: how they are stored; arithmetic is done in f32 whatever the storage.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace metallic {

enum class DType : unsigned char { f32, f16, bf16 };
inline constexpr std::array kDTypes = {DType::f32, DType::f16, DType::bf16};

constexpr std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f16: return "f16";
    case DType::bf16: return "bf16";
  }
  return "unknown";
}

constexpr size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

/// Unit roundoff: the largest relative error of rounding to the type, half a unit in the last place.
constexpr double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::f32: return 0x1p-24;
    case DType::f16: return 0x1p-11;
    case DType::bf16: return 0x1p-8;
  }
  return 0;
}

constexpr std::optional<DType> parse_dtype(std::string_view text) {
  for (const DType dtype : kDTypes)
    if (text == name(dtype)) return dtype;
  return std::nullopt;
}

/// The allowed values, for error messages.
inline constexpr std::string_view kDTypeNames = "f32, f16 or bf16";

}  // namespace metallic
