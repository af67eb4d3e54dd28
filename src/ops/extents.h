// SPDX-License-Identifier: Apache-2.0
// Extents of strided tensors: bytes from the first element to the last, without overflow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/dtype.h"

namespace metallic {

/// Means a size that exceeds 62 bits of bytes.
inline constexpr int64_t kTooManyBytes = INT64_MAX;
inline constexpr int64_t kMostBytes = int64_t{1} << 62;

/// `count` positions along a dimension, `stride` elements apart.
struct Extent {
  int64_t count, stride;
};

/// Bytes from the first element to the last of rows of `columns` elements; kTooManyBytes if above kMostBytes.
int64_t span_bytes(std::initializer_list<Extent> extents, int64_t columns, DType dtype);

/// rows · columns, or INT64_MAX if the product overflows, so that `validate` sees it.
int64_t area(int64_t rows, int64_t columns);

/// Whether all of these are ≥ 0 and below 2^kBits.
template <int kBits, typename... Sizes>
constexpr bool all_below(Sizes... sizes) {
  return ((static_cast<uint64_t>(sizes) | ...) >> kBits) == 0;
}

}  // namespace metallic
