// SPDX-License-Identifier: Apache-2.0
#include "tuner/operation/stored_rows.h"

namespace metallic {

void add_rows(const RowStrides& strides, int64_t batch, int64_t heads, int64_t rows, int64_t columns,
              std::vector<StoredRow>& to) {
  if (columns == 0) return;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < rows; ++i) to.push_back({b * strides.batch + h * strides.head + i * strides.row, columns, i});
}

}  // namespace metallic
