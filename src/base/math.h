// SPDX-License-Identifier: Apache-2.0
// Integer arithmetic that kernels and tools share.
#pragma once

#include <concepts>
#include <type_traits>

namespace metallic {

/// a / b rounded up; a ≥ 0, b > 0. Does not overflow.
template <std::integral T>
constexpr T ceil_div(T a, std::type_identity_t<T> b) {
  return static_cast<T>(a / b + (a % b != 0));
}

/// The least multiple of b that is at least a; a ≥ 0, b > 0.
template <std::integral T>
constexpr T round_up(T a, std::type_identity_t<T> b) {
  return static_cast<T>(ceil_div(a, b) * b);
}

}  // namespace metallic
