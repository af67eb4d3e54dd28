// Element types of tensors.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace metallic {

enum class DType : unsigned char { f32 };

constexpr std::string_view name(DType) { return "f32"; }
constexpr size_t size_of(DType) { return 4; }

constexpr std::optional<DType> parse_dtype(std::string_view text) {
  if (text == "f32") return DType::f32;
  return std::nullopt;
}

/// The allowed values, for error messages.
inline constexpr std::string_view kDTypeNames = "f32";

}  // namespace metallic
