// SPDX-License-Identifier: Apache-2.0
#include "dispatch/record.h"

#include <gtest/gtest.h>

#include "ops/label.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

TEST(Record, RoundTripsMostRunsFirst) {
  Problem strided = softmax_problem(64, 512);
  strided.as<SoftmaxShape>().in_stride = 1024;
  Problem typed = with_dtype(*parse_label("4x128x64_tb"), DType::bf16);
  typed.out_dtype = DType::f32;
  Problem scaled = *parse_label("batch1_h8kv2_seqq1_seqk64_d16");
  scaled.as<SdpaShape>().scale = 0.5f;
  const Record record = {{record_key(softmax_problem(64, 512)), 3},
                         {record_key(strided), 5},
                         {record_key(typed), UINT64_MAX},
                         {record_key(scaled), 1}};
  ASSERT_EQ(record.size(), 4u) << "what a label leaves out tells problems apart";
  const std::string text = to_text(record);
  EXPECT_EQ(text.substr(text.find('\n') + 1),
            "4x128x64_tb 18446744073709551615 bf16  # matmul out_dtype=f32\n"
            "rows64_seqk512 5 f32  # softmax in_stride=1024\n"
            "rows64_seqk512 3 f32  # softmax\n"
            "batch1_h8kv2_seqq1_seqk64_d16 1 f32  # sdpa scale=0.5\n");
  const auto parsed = parse_record(text, "file");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(*parsed, record);
  Record sum = record;
  add(sum, record);
  EXPECT_EQ(sum.at(record_key(strided)), 10u);
  EXPECT_EQ(sum.at(record_key(typed)), UINT64_MAX) << "counts do not wrap";
}

TEST(Record, ContiguousProblemsOfEveryLabelNeedNoRest) {
  for (const char* text : {"rows4_seqk64", "batch2_seqq3_seqk5_causal", "4x128x64", "batch3_4x128x64_ta_tb", "1x64x4_a0.5_b2",
                           "batch2_h8kv2_seqq3_seqk64_d16_causal"})
    EXPECT_EQ(record_key(*parse_label(text)), (RecordKey{text, DType::f32, ""}));
}

TEST(Record, WhatAListCannotTakeIsLeftOutAndSaid) {
  Record many;
  for (int64_t i = 1; i <= 10'050; ++i) many[record_key(softmax_problem(1, i))] = static_cast<uint64_t>(i);
  const std::string text = to_text(many);
  EXPECT_TRUE(text.ends_with("# 50 further problems, with at most 50 runs each, are left out.\n"))
      << text.substr(text.size() - 90);
  EXPECT_EQ(parse_record(text, "file")->size(), 10'000u);
  Record wide;
  for (int64_t i = 1; i <= 10'000; ++i) wide[{label(softmax_problem(1, i)), DType::f32, std::string(200, 'x')}] = 1;
  EXPECT_LE(to_text(wide).size(), kMostRecordBytes);
  EXPECT_TRUE(to_text(wide).ends_with("are left out.\n"));
}

TEST(Record, RefusesWhatItDidNotWrite) {
  const std::string header = to_text({});
  for (const std::string& text : {std::string(), std::string("important notes\n"), header + "rows4\n", header + "rows4_seqk64\n",
                                  header + "rows4_seqk64 0 f32\n", header + "rows4_seqk64 -1 f32\n",
                                  header + "rows4_seqk64 99999999999999999999 f32\n", header + "rows4_seqk64 1 f128\n"}) {
    const auto parsed = parse_record(text, "file");
    ASSERT_FALSE(parsed) << text;
    EXPECT_TRUE(parsed.error().message.starts_with("file ")) << parsed.error().message;
  }
}

}  // namespace
}  // namespace metallic
