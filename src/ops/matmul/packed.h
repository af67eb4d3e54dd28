// SPDX-License-Identifier: Apache-2.0
// Packed weights: the order in which a matmul's B lies once it has been packed, the same on every machine.
//
// Columns of op(B) lie in panels of 32, a panel after the other, each K steps of 32 cells; the last one is filled up with zeros.
// A cell is an element, or in bf16 two that are neighbours in K (as dot products of pairs and AMX take them), whose K is filled
// up with zeros to a multiple of 32. Register tiles of every width that is a divisor of 32 read a panel from front to back.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/dtype.h"

namespace metallic {

inline constexpr int64_t kPanel = 32;  ///< columns

/// What names the order in files that keep packed weights: it changes when the order does.
constexpr std::string_view packed_layout(DType dtype) {
  switch (dtype) {
    case DType::f32: return "panels32.f32";
    case DType::f16: return "panels32.f16";
    case DType::bf16: return "panels32.bf16x2";
  }
  return "unknown";
}

/// K as it is stored.
constexpr int64_t packed_k(DType dtype, int64_t k) { return dtype == DType::bf16 ? (k + 31) / 32 * 32 : k; }

/// Elements of a panel.
constexpr int64_t panel_elements(DType dtype, int64_t k) { return packed_k(dtype, k) * kPanel; }

/// Where element (k, j) of op(B) is, of `all_k` rows.
constexpr int64_t packed_index(DType dtype, int64_t all_k, int64_t k, int64_t j) {
  const int64_t panel = j / kPanel * panel_elements(dtype, all_k), column = j % kPanel;
  return dtype == DType::bf16 ? panel + (k / 2 * kPanel + column) * 2 + k % 2 : panel + k * kPanel + column;
}

}  // namespace metallic
