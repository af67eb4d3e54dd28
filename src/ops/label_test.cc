// SPDX-License-Identifier: Apache-2.0
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"

#include <gtest/gtest.h>

#include <random>

namespace metallic {
namespace {

TEST(Label, RoundTrips) {
  for (const char* text : {"rows64_seqk512", "rows0_seqk0", "batch2_seqq64_seqk512", "batch1_seqq64_seqk512_causal",
                           "batch1_seqq64_seqk512_causal_offset7", "batch1_seqq64_seqk512_causal_offset-3", "4096x4096x8",
                           "4096x4096x8_tb", "1x2x3_ta", "1x2x3_ta_tb", "batch12_7x8x9_tb", "7x8x9_a0.5_b1", "7x8x9_ta_a-2_b0.25",
                           "7x8x9_packed", "7x8x9_ta_packed_a2_b1"}) {
    const auto problem = parse_label(text);
    ASSERT_TRUE(problem) << problem.error().message;
    EXPECT_EQ(label(*problem), text);
  }
}

TEST(Label, MeansWhatItSays) {
  const auto softmax = parse_label("batch2_seqq3_seqk5_causal")->as<SoftmaxShape>();
  EXPECT_EQ(softmax.rows(), 6);
  EXPECT_TRUE(softmax.causal);
  EXPECT_EQ(softmax.offset, 2);  // seq_k − seq_q
  const auto matmul = parse_label("2x3x4_ta_tb")->as<MatmulShape>();
  EXPECT_EQ(matmul.m, 2);
  EXPECT_EQ(matmul.k, 3);
  EXPECT_EQ(matmul.n, 4);
  EXPECT_EQ(matmul.lda, 2);  // A is stored [K, M]
  EXPECT_EQ(matmul.ldb, 3);  // B is stored [N, K]
  EXPECT_EQ(matmul.alpha, 1);
  EXPECT_EQ(matmul.beta, 0);
}

TEST(Label, RandomProblemsRoundTrip) {
  std::mt19937 random(11);
  const auto any = [&](int64_t most) { return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1)); };
  for (int i = 0; i < 2000; ++i) {
    Problem problem;
    if (i % 2) {
      problem = matmul_problem(any(70000), any(70000), any(70000), any(1), any(1), 1 + any(9));
      if (auto& matmul = problem.as<MatmulShape>(); matmul.batch == 1 && any(1)) make_packed(matmul);
    } else if (i % 4) {
      problem = softmax_problem(any(1 << 20), any(1 << 20));
    } else {
      problem = softmax_problem(any(99), any(999), any(9999));
      if (any(1)) make_causal(problem.as<SoftmaxShape>(), any(1) ? std::optional(any(100) - 50) : std::nullopt);
    }
    const auto parsed = parse_label(label(problem));
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, problem) << label(problem);
  }
}

TEST(Label, ErrorsNameTheColumn) {
  const auto column = [](const char* text) {
    const auto problem = parse_label(text);
    return problem ? std::string("accepted") : problem.error().message;
  };
  EXPECT_NE(column("rows64_seqq512").find("column 7: expected \"_seqk\""), std::string::npos) << column("rows64_seqq512");
  EXPECT_NE(column("rows64_seqk512x").find("column 15"), std::string::npos);
  EXPECT_NE(column("rows-4_seqk512").find("column 5"), std::string::npos);
  EXPECT_NE(column("rows99999999999999999999_seqk1").find("too large"), std::string::npos);
  EXPECT_NE(column("4096x4096").find("column 10: expected \"x\""), std::string::npos);
  EXPECT_NE(column("4096x4096x8_a1_bnan").find("finite"), std::string::npos);
  for (const char* text : {"", "softmax", "rows64", "rows_seqk1", "rows64_seqk512_causal", "1x2x3_tb_ta", "1x2x3_b1",
                           "batch1_seqq1_seqk1_offset3", "rows1_seqk1\n", "ROWS1_seqk1", " rows1_seqk1", "0x10x2_c"})
    EXPECT_FALSE(parse_label(text)) << text;
}

TEST(Label, RefusesWhatNoMachineAddresses) {
  const auto huge = parse_label("281474976710656x281474976710656x1");
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, Code::out_of_memory);
  EXPECT_FALSE(parse_label("rows281474976710656_seqk281474976710656"));
}

TEST(Labels, ExpandRanges) {
  const auto labels = [](const char* text) {
    std::vector<std::string> found;
    const auto problems = parse_labels(text);
    EXPECT_TRUE(problems) << problems.error().message;
    for (const Problem& problem : *problems) found.push_back(label(problem));
    return found;
  };
  EXPECT_EQ(labels("rows64_seqk64..256"), (std::vector<std::string>{"rows64_seqk64", "rows64_seqk128", "rows64_seqk256"}));
  EXPECT_EQ(labels("rows1+3_seqk64..192:64"), (std::vector<std::string>{"rows1_seqk64", "rows1_seqk128", "rows1_seqk192",
                                                                        "rows3_seqk64", "rows3_seqk128", "rows3_seqk192"}));
  EXPECT_EQ(labels("8x8x1..4_tb"), (std::vector<std::string>{"8x8x1_tb", "8x8x2_tb", "8x8x4_tb"}));
  for (const char* text : {"rows4..2_seqk1", "rows0..4_seqk1", "rows1..4:0_seqk1", "rows1..99999:1_seqk1", "rows1+_seqk1",
                           "rows1..1000:1_seqk1..1000:1", "8x8x1..2..3"})
    EXPECT_FALSE(parse_labels(text)) << text;
  EXPECT_FALSE(parse_label("rows1..4_seqk1"));
}

TEST(Label, RandomTextIsRefusedOrRoundTrips) {
  std::mt19937 random(5);
  constexpr std::string_view kPieces[] = {"rows", "batch", "_seqq", "_seqk", "_causal", "_offset", "x", "_ta", "_tb", "_a",  "_b",
                                          "1",    "64",    "-",     "..",    "+",       ":",       "0", ".",   "e9",  "\xff"};
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (size_t n = random() % 9; n > 0; --n) text += kPieces[random() % std::size(kPieces)];
    const auto problem = parse_label(text);
    if (!problem) continue;
    const auto again = parse_label(label(*problem));
    ASSERT_TRUE(again) << text;
    EXPECT_EQ(*again, *problem) << text;
  }
}

}  // namespace
}  // namespace metallic
