// SPDX-License-Identifier: Apache-2.0
#include "ops/problem.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ops/matmul/shape.h"
#include "ops/rule.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

TEST(Problem, AxesAreWhatRulesSee) {
  const Problem weights_first = matmul_problem(4096, 128, 8), engine = matmul_problem(8, 128, 4096, false, true);
  for (const Problem& problem : {weights_first, engine}) {
    EXPECT_EQ(value(problem, Axis::big), 4096);
    EXPECT_EQ(value(problem, Axis::n), 8);
    EXPECT_EQ(value(problem, Axis::k), 128);
    EXPECT_EQ(value(problem, Axis::seq_k), std::nullopt);
  }
  EXPECT_EQ(value(weights_first, Axis::side), 0);
  EXPECT_EQ(value(engine, Axis::side), 1);
  EXPECT_EQ(value(matmul_problem(64, 64, 64), Axis::side), 0);
  EXPECT_EQ(value(matmul_problem(64, 64, 64, false, true), Axis::side), 1);
  EXPECT_EQ(value(softmax_problem(4, 16, 512), Axis::rows), 64);
  for (const Problem& problem : {weights_first, engine, softmax_problem(4, 16, 512), sdpa_problem(2, 8, 4, 16, 512, 64)})
    for (const Axis axis : kAxes)
      EXPECT_EQ(axis_values(problem)[static_cast<size_t>(axis)], value(problem, axis).value_or(0)) << name(axis);
}

TEST(Problem, WorkFollowsTheGuide) {
  EXPECT_EQ(work(softmax_problem(64, 512)).operations, 64 * 512 * 3);
  EXPECT_EQ(work(softmax_problem(64, 512)).bytes, 64 * 512 * 8);
  EXPECT_EQ(work(matmul_problem(10, 20, 30)).operations, 10 * 20 * 30 * 2);
  EXPECT_EQ(work(matmul_problem(10, 20, 30)).bytes, 4 * (200 + 600 + 300));
}

TEST(Problem, LayoutNamesTransposesStridesAndMasks) {
  EXPECT_EQ(layout(softmax_problem(4, 8)), "contiguous");
  Problem causal = softmax_problem(1, 4, 8);
  make_causal(causal.as<SoftmaxShape>());
  EXPECT_EQ(layout(causal), "contiguous_causal");
  Problem strided = matmul_problem(4, 8, 4, false, true);
  EXPECT_EQ(layout(strided), "nt");
  strided.as<MatmulShape>().ldc += 1;
  EXPECT_EQ(layout(strided), "nt_strided");
}

TEST(Problem, LayoutIndexesAreThoseOfDistinctNames) {
  std::map<std::pair<Op, size_t>, std::string> seen;
  const auto see = [&](const Problem& problem) {
    ASSERT_LT(layout_index(problem), kMostLayouts);
    EXPECT_EQ(seen.try_emplace({problem.op(), layout_index(problem)}, layout(problem)).first->second, layout(problem));
  };
  for (const bool strided : {false, true})
    for (const bool first : {false, true})
      for (const bool second : {false, true}) {
        Problem softmax = softmax_problem(2, 4, 8), matmul = matmul_problem(4, 6, 8, first, second),
                sdpa = sdpa_problem(2, 4, 2, 4, 8, 16);
        if (first) make_causal(softmax.as<SoftmaxShape>());
        if (first) make_causal(sdpa.as<SdpaShape>());
        if (strided) {
          ++softmax.as<SoftmaxShape>().in_stride;
          ++matmul.as<MatmulShape>().lda;
          ++(second ? sdpa.as<SdpaShape>().out : sdpa.as<SdpaShape>().k).batch;
        }
        for (const Problem& problem : {softmax, matmul, sdpa}) see(problem);
      }
  std::set<std::pair<Op, std::string>> names;
  for (const auto& [index, name] : seen) names.emplace(index.first, name);
  EXPECT_EQ(seen.size(), 4u + 8u + 4u);
  EXPECT_EQ(names.size(), seen.size());
}

TEST(Problem, ValidationRefusesNonsense) {
  EXPECT_TRUE(validate(matmul_problem(0, 0, 0)));
  EXPECT_FALSE(validate(matmul_problem(-1, 2, 3)));
  Problem overlapping = softmax_problem(4, 8);
  overlapping.as<SoftmaxShape>().out_stride = 7;
  EXPECT_FALSE(validate(overlapping));
  Problem causal = softmax_problem(4, 8);
  causal.as<SoftmaxShape>().causal = true;
  EXPECT_FALSE(validate(causal)) << "2-D labels cannot be causal";
}

TEST(Problem, PackedWeightsAreOneMatrixInPanels) {
  Problem packed = matmul_problem(100, 33, 40, false, true);
  auto& shape = packed.as<MatmulShape>();
  make_packed(shape);
  EXPECT_TRUE(validate(packed));
  EXPECT_FALSE(shape.weights_in_a()) << "what is packed are weights, however many rows they meet";
  EXPECT_EQ(layout(packed), "np");
  EXPECT_EQ(operand_bytes(packed)[1], 2 * 32 * 33 * 4);
  EXPECT_EQ(operand_bytes(with_dtype(packed, DType::f16))[1], 2 * 32 * 33 * 2);
  EXPECT_EQ(operand_bytes(with_dtype(packed, DType::bf16))[1], 2 * 32 * 64 * 2) << "K is filled up";
  shape.k = 0;
  EXPECT_EQ(operand_bytes(packed)[1], 0);
  for (const auto& change : {+[](MatmulShape& s) { s.batch = 2; }, +[](MatmulShape& s) { s.tb = true; },
                             +[](MatmulShape& s) { s.ldb = 40; }, +[](MatmulShape& s) { s.k = int64_t{1} << 58; }}) {
    Problem wrong = matmul_problem(100, 33, 40);
    make_packed(wrong.as<MatmulShape>());
    change(wrong.as<MatmulShape>());
    EXPECT_FALSE(validate(wrong));
  }
}

TEST(Problem, ElementsAreThoseOfASoftmax) {
  EXPECT_EQ(value(softmax_problem(2, 3, 5), Axis::elements), 30);
  EXPECT_EQ(value(matmul_problem(2, 3, 5), Axis::elements), std::nullopt);
  EXPECT_EQ(axis_values(softmax_problem(7, 11))[static_cast<size_t>(Axis::elements)], 77);
  EXPECT_EQ(parse_axis("elements"), Axis::elements);
}

TEST(Rule, RangesIncludeBothEnds) {
  const Rule rule{.when = {{Axis::seq_k, 64, 1024}, {Axis::rows, std::nullopt, 16}}, .use = "cpu_vec"};
  EXPECT_TRUE(matches(rule, softmax_problem(16, 64)));
  EXPECT_TRUE(matches(rule, softmax_problem(1, 1024)));
  EXPECT_FALSE(matches(rule, softmax_problem(1, 1025)));
  EXPECT_FALSE(matches(rule, softmax_problem(17, 64)));
  EXPECT_FALSE(matches(rule, matmul_problem(4, 4, 4))) << "an axis that the operation lacks never matches";
  EXPECT_EQ(to_string(rule), "seq_k 64..1024 and rows ≤ 16: cpu_vec");
}

}  // namespace
}  // namespace metallic
