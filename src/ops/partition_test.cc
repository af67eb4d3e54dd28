// SPDX-License-Identifier: Apache-2.0
// Shares by work: contiguous, whole, and as equal as units allow; what softmax counts as a row's work.
#include "ops/partition.h"

#include <gtest/gtest.h>

#include "ops/softmax/contract.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

TEST(SharesByWork, AreEqualButForOneUnit) {
  const auto before = [](int64_t unit) { return static_cast<double>(unit * (unit + 1) / 2); };  // unit i costs i + 1
  for (const int64_t units : {0, 1, 2, 3, 10, 1000})
    for (const int64_t tasks : {1, 2, 3, 16}) {
      const auto begins = ranges_by_work(units, tasks, before);
      ASSERT_EQ(begins.size(), static_cast<size_t>(tasks) + 1);
      EXPECT_EQ(begins.front(), 0);
      EXPECT_EQ(begins.back(), units);
      for (size_t i = 0; i + 1 < begins.size(); ++i) {
        ASSERT_LE(begins[i], begins[i + 1]);
        EXPECT_LE(before(begins[i + 1]) - before(begins[i]),
                  before(units) / static_cast<double>(tasks) + static_cast<double>(units));
      }
    }
}

TEST(SoftmaxWork, IsTheSumOverRows) {
  for (const int64_t offset : {-100, -3, 0, 1, 5, 9, 100}) {
    SoftmaxShape shape = softmax_problem(3, 7, 9).as<SoftmaxShape>();
    make_causal(shape, offset);
    double work = 0;
    for (int64_t row = 0; row <= shape.rows(); ++row) {
      EXPECT_DOUBLE_EQ(softmax::work_before(shape, row), work) << "offset " << offset << " row " << row;
      const auto visible = static_cast<double>(softmax::visible_keys(shape, row));
      work += visible + 0.4 * (9 - visible);
    }
  }
}

}  // namespace
}  // namespace metallic
