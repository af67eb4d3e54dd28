// SPDX-License-Identifier: Apache-2.0
// The rows of a strided operand as they are stored.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

namespace metallic {

struct StoredRow {
  int64_t at;     ///< of its first element, in elements
  int64_t count;  ///< elements
  int64_t row;    ///< of its matrix
  auto operator<=>(const StoredRow&) const = default;
};

/// Elements from one batch, head and row to the next.
struct RowStrides {
  int64_t batch, head, row;
};

/// Adds the rows of a tensor [batch, heads, rows, columns].
void add_rows(const RowStrides& strides, int64_t batch, int64_t heads, int64_t rows, int64_t columns, std::vector<StoredRow>& to);

}  // namespace metallic
