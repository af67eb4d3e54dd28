// SPDX-License-Identifier: Apache-2.0
#include "ops/extents.h"

namespace metallic {

int64_t span_bytes(std::initializer_list<Extent> extents, int64_t columns, DType dtype) {
  __extension__ using Wide = unsigned __int128;  // holds the sum of three products of sizes, so that no step needs a check
  auto last = static_cast<Wide>(columns);
  bool empty = columns == 0;
  for (const auto [count, stride] : extents) {
    empty = empty || count == 0;
    last += static_cast<Wide>(count - 1) * static_cast<Wide>(stride);
  }
  if (empty) return 0;
  const auto size = static_cast<int64_t>(size_of(dtype));
  return last > static_cast<Wide>(kMostBytes / size) ? kTooManyBytes : static_cast<int64_t>(last) * size;
}

int64_t area(int64_t rows, int64_t columns) {
  int64_t product = 0;
  return __builtin_mul_overflow(rows, columns, &product) ? INT64_MAX : product;
}

}  // namespace metallic
