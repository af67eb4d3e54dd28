// SPDX-License-Identifier: Apache-2.0
// Thresholds as constants: names, comments that nothing ends, and refusals. That the header compiles is the program's test.
#include "tuner/io/threshold_header.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace metallic {
namespace {

using testing::HasSubstr;
using testing::Not;

Profile profile() {
  Profile profile{.fingerprint = "here", .model = "some-model", .date = "2026-01-02T03:04:05Z"};
  profile.device.model = "AMD EPYC";
  profile.thresholds = {{.op = kSoftmax,
                         .threads = 2,
                         .layout = "contiguous",
                         .name = "softmax_vec_block",
                         .where = "rows ≤ 22",
                         .value = 1280,
                         .low = 1000,
                         .high = 1500,
                         .regret = 0.0123},
                        {.op = kMatmul,
                         .dtype = DType::bf16,
                         .threads = 1,
                         .layout = "nt_strided",
                         .name = "smalln_max_n",
                         .where = "weights in B",
                         .value = 16,
                         .low = 8,
                         .high = 16,
                         .kept_default = true}};
  return profile;
}

TEST(Constants, SayWhatTheyHoldForAndWhatTheyRestOn) {
  const auto header = constants_header(profile());
  ASSERT_TRUE(header) << header.error().message;
  EXPECT_THAT(*header, HasSubstr(" metallic_softmax_vec_block_f32_contiguous_threads2_rows_le_22 = 1280;\n"));
  EXPECT_THAT(*header, HasSubstr(" metallic_matmul_smalln_max_n_bf16_nt_strided_threads1_weights_in_b = 16;\n"));
  EXPECT_THAT(*header, HasSubstr("2 threads, rows ≤ 22: 95 % interval 1000 to 1500, regret 1.23 % */"));
  EXPECT_THAT(*header, HasSubstr("; the default is kept */"));
  Profile unsure = profile();
  unsure.thresholds[1].high = 8;
  EXPECT_THAT(constants_header(unsure).value_or(""), HasSubstr("8 to 8, regret 0.00 %; the default is kept: no other value"));
  for (const char* part : {"AMD EPYC", "some-model", "2026-01-02"}) EXPECT_THAT(*header, HasSubstr(part));
}

TEST(Constants, UntrustedTextStaysInItsComment) {
  Profile hostile = profile();
  hostile.device.model = "*/ int x; /*/\n#error";
  hostile.thresholds[0].where = "*/ 1;\n#error rows";
  const auto header = constants_header(hostile);
  ASSERT_TRUE(header);
  EXPECT_THAT(*header, Not(HasSubstr("*/ int")));
  EXPECT_THAT(*header, Not(HasSubstr("\n#error")));
  EXPECT_THAT(*header, HasSubstr(" metallic_softmax_vec_block_f32_contiguous_threads2_1_error_rows = 1280;"));
}

TEST(Constants, RefusesNoThresholdsAndEqualNames) {
  Profile wrong = profile();
  wrong.thresholds[1] = wrong.thresholds[0];
  wrong.thresholds[1].where = "rows <= ≤ 22";
  wrong.thresholds[0].where = "rows _ le 22";
  const auto twice = constants_header(wrong);
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("rows_le_22"));
  wrong.thresholds.clear();
  EXPECT_FALSE(constants_header(wrong));
}

}  // namespace
}  // namespace metallic
