// SPDX-License-Identifier: Apache-2.0
// Shape sampling: shapes beyond the model, each once, within the cost limits, the same for the same seed.
#include "tuner/workloads/shape_sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"
#include "tuner/workloads/model.h"

namespace metallic {
namespace {

std::vector<WeightedProblem> of(std::initializer_list<const char*> labels, DType dtype = DType::f32) {
  std::vector<WeightedProblem> problems;
  for (const char* text : labels) problems.push_back({.problem = with_dtype(*parse_label(text), dtype)});
  return problems;
}

std::string key(const WeightedProblem& each) { return std::string(name(each.problem.dtype)) + " " + label(each.problem); }

std::set<std::string> keys(const std::vector<WeightedProblem>& all, std::string_view role = "") {
  std::set<std::string> found;
  for (const WeightedProblem& each : all)
    if (role.empty() || each.role == role) {
      EXPECT_TRUE(found.insert(key(each)).second) << key(each) << " twice";
    }
  return found;
}

TEST(ShapeSampling, LeavesOutTheModelAndDuplicates) {
  std::vector<WeightedProblem> model = model_problems(*find_model("llama-3.1-8b"));
  // Shapes of the grid too: the problems have them already.
  for (const WeightedProblem& each : of({"rows16_seqk256", "512x512x8", "4x64x512_tb"})) model.push_back(each);
  const auto found = sample_shapes(model, 50, 1);
  const auto mine = keys(found);
  for (const WeightedProblem& each : model) EXPECT_FALSE(mine.contains(key(each))) << key(each);
  EXPECT_TRUE(mine.contains("f32 rows16_seqk1023")) << "its neighbours are sampled";
  EXPECT_GT(found.size(), 200u);
}

TEST(ShapeSampling, IsWithoutWeightAndCheap) {
  for (const WeightedProblem& each : sample_shapes(of({"rows16_seqk256", "512x512x8"}), 200, 3)) {
    EXPECT_EQ(each.weight, 0) << key(each);
    EXPECT_LE(work(each.problem).flops, 1 << 29) << key(each);
    EXPECT_LE(std::ranges::max(operand_bytes(each.problem)), int64_t{4} << 24) << key(each);
  }
}

TEST(ShapeSampling, CoversOnlyTheGivenOperationsAndTypes) {
  for (const WeightedProblem& each : sample_shapes(of({"rows16_seqk256"}), 20, 1)) EXPECT_EQ(each.problem.op(), kSoftmax);
  for (const WeightedProblem& each : sample_shapes(of({"4x64x512_tb"}), 20, 1)) EXPECT_EQ(each.problem.op(), kMatmul);
  for (const WeightedProblem& each :
       sample_shapes(std::vector{WeightedProblem{.problem = sdpa_problem(1, 8, 2, 16, 64, 128)}}, 20, 1)) {
    ASSERT_EQ(each.problem.op(), kSdpa);
    const SdpaShape& shape = each.problem.as<SdpaShape>();
    EXPECT_FALSE(shape.causal) << "as the given problem";
    EXPECT_EQ(std::tuple(shape.heads, shape.kv_heads, shape.head_dim), std::tuple(8, 2, 128));
    EXPECT_LE(shape.seq_q, shape.seq_k);
  }
  EXPECT_TRUE(sample_shapes({}, 20, 1).empty());

  auto both = of({"rows16_seqk256"});
  for (const WeightedProblem& each : of({"512x512x8", "rows16_seqk256"}, DType::bf16)) both.push_back(each);
  std::set<std::string> kinds;
  for (const WeightedProblem& each : sample_shapes(both, 20, 1))
    kinds.insert(std::string(name(each.problem.op())) + " " + std::string(name(each.problem.dtype)));
  EXPECT_EQ(kinds, (std::set<std::string>{"softmax f32", "softmax bf16", "matmul bf16"}));
}

TEST(ShapeSampling, CoversOnlyTheGivenMasks) {
  const auto masks = [](std::initializer_list<const char*> labels) {
    std::map<bool, size_t> count;
    for (const WeightedProblem& each : sample_shapes(of(labels), 20, 1)) ++count[each.problem.as<SoftmaxShape>().causal];
    return count;
  };
  EXPECT_EQ(masks({"rows16_seqk256"}).count(true), 0u);
  EXPECT_EQ(masks({"batch4_seqq16_seqk256_causal"}).count(false), 0u);
  auto both = masks({"rows16_seqk256", "batch4_seqq16_seqk256_causal"});
  EXPECT_GT(both[true], 20u);
  EXPECT_GT(both[false], 20u);
}

TEST(ShapeSampling, HasWeightsOnEitherSideAndTheEdgesOfSmallN) {
  std::map<bool, std::set<int64_t>> small;  // by side, of one usual way
  size_t unusual = 0;
  for (const WeightedProblem& each : sample_shapes(of({"512x512x8"}), 100, 1)) {
    const auto& matmul = each.problem.as<MatmulShape>();
    const bool in_a = matmul.weights_in_a();
    if (matmul.tb == in_a)
      ++unusual;  // weights first with a transposed B, or plain weights second
    else
      small[in_a].insert(matmul.small());
  }
  for (const bool in_a : {true, false})
    for (const int64_t n : {1, 2, 4, 5, 8, 9, 16, 17, 32}) EXPECT_TRUE(small[in_a].contains(n)) << in_a << ' ' << n;
  EXPECT_GT(unusual, 50u) << "random ones only";
}

TEST(ShapeSampling, TheSeedFixesTheRandomShapes) {
  const auto model = of({"rows16_seqk256", "512x512x8"});
  const auto one = sample_shapes(model, 40, 1), again = sample_shapes(model, 40, 1), other = sample_shapes(model, 40, 2);
  EXPECT_EQ(keys(one), keys(again));
  EXPECT_EQ(keys(one, "grid"), keys(other, "grid"));
  EXPECT_NE(keys(one, "drawn"), keys(other, "drawn"));
  EXPECT_GT(keys(one, "drawn").size(), 80u);
  EXPECT_GT(keys(sample_shapes(model, 80, 1), "drawn").size(), keys(one, "drawn").size());
}

TEST(HeldOutShapes, SpreadsEvenlyAndInEveryType) {
  auto problems = of({"rows16_seqk256", "512x512x8"});
  for (const WeightedProblem& each : of({"rows16_seqk256", "512x512x8"}, DType::bf16)) problems.push_back(each);
  const auto found = sample_held_out_shapes(problems, 20, 5);
  ASSERT_EQ(found.size(), 40u);
  std::map<std::string, int> types;
  std::map<Op, int> ops;
  for (const WeightedProblem& each : found) ++types[label(each.problem)], ++ops[each.problem.op()];
  EXPECT_EQ(types.size(), 20u);
  for (const auto& [text, count] : types) EXPECT_EQ(count, 2) << text;
  EXPECT_EQ(ops[kSoftmax], 20);
  EXPECT_EQ(keys(found), keys(sample_held_out_shapes(problems, 20, 5)));
  EXPECT_NE(keys(found), keys(sample_held_out_shapes(problems, 20, 6)));
}

}  // namespace
}  // namespace metallic
