// SPDX-License-Identifier: Apache-2.0
// Integer division and rounding up, at the limits of their types too.
#include "base/math.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

namespace metallic {
namespace {

TEST(Math, DividesAndRoundsUp) {
  static_assert(ceil_div(0, 4) == 0 && ceil_div(1, 4) == 1 && ceil_div(4, 4) == 1 && ceil_div(5, 4) == 2);
  static_assert(round_up(0, 16) == 0 && round_up(1, 16) == 16 && round_up(17, 16) == 32);
  EXPECT_EQ(ceil_div(INT64_MAX, 2), INT64_MAX / 2 + 1) << "no overflow";
  EXPECT_EQ(ceil_div(SIZE_MAX, SIZE_MAX), size_t{1});
}

}  // namespace
}  // namespace metallic
