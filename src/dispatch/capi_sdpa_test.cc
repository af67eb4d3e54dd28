// SPDX-License-Identifier: Apache-2.0
// Attention and 16-bit types through the C interface: layouts of caches, defaults, types of inputs and output, refusals.
#include <cmath>
#include <cstring>
#include <limits>

#include "ops/label.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"
#include "testing/c_interface.h"

namespace metallic {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using CApiSdpa = CApi;
using CApiTypes = CApi;

// Runs a problem on random operands and checks the output against the definition.
void expect_right(metallic_context* context, const metallic_problem& given, const Problem& problem, std::string_view what) {
  const auto bytes = operand_bytes(problem);
  std::array<std::vector<std::byte>, 3> in;
  for (size_t i = 0; i < in.size(); ++i) {
    in[i].resize(static_cast<size_t>(bytes[i]));
    fill_random(problem.dtype, in[i].data(), in[i].size() / size_of(problem.dtype), i + 1);
  }
  std::vector<std::byte> out(static_cast<size_t>(bytes[kOut]), std::byte{0xff});  // NaN in every type
  const auto plan = make_plan(context, given);
  const metallic_tensors operands = {sizeof(metallic_tensors), in[0].data(), in[1].data(), in[2].data(), out.data()};
  ASSERT_EQ(run(plan.get(), operands), METALLIC_OK) << what << ": " << metallic_last_error();
  const auto wrong = first_difference(problem, {.in = {in[0].data(), in[1].data(), in[2].data()}, .out = out.data()}, nullptr);
  EXPECT_FALSE(wrong) << what << ": " << *wrong;
}

constexpr std::array kTypes = {std::pair{METALLIC_F32, DType::f32}, std::pair{METALLIC_F16, DType::f16},
                               std::pair{METALLIC_BF16, DType::bf16}};

TEST_F(CApiSdpa, ComputesWhatLabelsName) {
  const auto context = make_context(options(2));
  for (const char* label :
       {"batch1_h4kv4_seqq5_seqk5_d16", "batch2_h8kv2_seqq1_seqk70_d32_causal", "batch1_h6kv3_seqq40_seqk40_d20_causal",
        "batch2_h4kv1_seqq9_seqk33_d8_causal_offset5", "batch1_h2kv2_seqq6_seqk4_d8_causal"}) {
    const metallic_problem given = from_label(label);
    EXPECT_EQ(given.op, METALLIC_SDPA);
    EXPECT_EQ(given.scale, 0) << "the usual one";
    expect_right(context.get(), given, *parse_label(label), label);
    EXPECT_EQ(explain(make_plan(context.get(), given).get())["label"], label);
  }
}

TEST_F(CApiSdpa, QueriesThatSeeNoKeyGetZeros) {
  const auto context = make_context(options(1));
  const auto plan = make_plan(context.get(), from_label("batch1_h2kv1_seqq3_seqk2_d4_causal_offset-2"));
  const std::vector<float> q(24, 1), k(8, 1), v(8, 5);
  std::vector<float> out(24, 9);
  const metallic_tensors operands = {sizeof(metallic_tensors), q.data(), k.data(), v.data(), out.data()};
  ASSERT_EQ(run(plan.get(), operands), METALLIC_OK) << metallic_last_error();
  for (size_t head = 0; head < 2; ++head)
    for (size_t query = 0; query < 3; ++query)
      for (size_t d = 0; d < 4; ++d) EXPECT_EQ(out[(head * 3 + query) * 4 + d], query < 2 ? 0 : 5) << head << query << d;
}

// Engines keep [batch, seq, heads, dim]: what projections write, and caches that are longer than what is in them.
TEST_F(CApiSdpa, ReadsACacheWhereItLies) {
  constexpr int64_t kBatch = 2, kHeads = 6, kKvHeads = 2, kDim = 16, kSeen = 11, kCapacity = 32;
  const auto context = make_context(options(2));
  for (const int64_t queries : {1, 4}) {
    const metallic_strides tokens = {queries * kHeads * kDim, kDim, kHeads * kDim};
    const metallic_strides cache = {kCapacity * kKvHeads * kDim, kDim, kKvHeads * kDim};
    const metallic_problem given = {.struct_size = sizeof(given),
                                    .op = METALLIC_SDPA,
                                    .batch = kBatch,
                                    .seq_q = queries,
                                    .seq_k = kSeen,
                                    .causal = 1,
                                    .offset = kSeen - queries,
                                    .heads = kHeads,
                                    .kv_heads = kKvHeads,
                                    .head_dim = kDim,
                                    .q_strides = tokens,
                                    .k_strides = cache,
                                    .v_strides = cache,
                                    .out_strides = tokens};
    Problem problem = sdpa_problem(kBatch, kHeads, kKvHeads, queries, kSeen, kDim);
    auto& s = problem.as<SdpaShape>();
    make_causal(s);
    s.q = s.out = {tokens.batch, tokens.head, tokens.row};
    s.k = s.v = {cache.batch, cache.head, cache.row};

    const auto q = random_floats(operand_bytes(problem)[0], 1);
    std::vector<float> k(kBatch * kCapacity * kKvHeads * kDim, std::numeric_limits<float>::quiet_NaN()), v = k;
    std::vector<float> out(q.size(), 77);
    for (int64_t batch = 0; batch < kBatch; ++batch) {
      const auto at = batch * cache.batch;
      fill_random(DType::f32, k.data() + at, kSeen * kKvHeads * kDim, 2 + static_cast<uint64_t>(batch));
      fill_random(DType::f32, v.data() + at, kSeen * kKvHeads * kDim, 5 + static_cast<uint64_t>(batch));
    }
    const auto plan = make_plan(context.get(), given);
    const metallic_tensors operands = {sizeof(metallic_tensors), q.data(), k.data(), v.data(), out.data()};
    ASSERT_EQ(run(plan.get(), operands), METALLIC_OK) << metallic_last_error();
    const auto wrong = first_difference(problem, {.in = {q.data(), k.data(), v.data()}, .out = out.data()}, nullptr);
    EXPECT_FALSE(wrong) << queries << ": " << *wrong;
  }
}

TEST_F(CApiSdpa, ImpliedStridesIncludeThePadding) {
  const auto context = make_context(options(1));
  metallic_problem given = from_label("batch2_h4kv2_seqq3_seqk5_d8");
  given.q_strides.row = 10;
  given.k_strides.head = 70;
  given.out_strides.batch = 200;
  Problem problem = *parse_label("batch2_h4kv2_seqq3_seqk5_d8");
  auto& s = problem.as<SdpaShape>();
  s.q = {4 * 3 * 10, 3 * 10, 10};
  s.k = {2 * 70, 70, 8};
  s.out.batch = 200;
  expect_right(context.get(), given, problem, "padded");
}

TEST_F(CApiSdpa, DefaultsAreThoseOfTheFormula) {
  const auto context = make_context(options(1));
  metallic_problem given = {
      .struct_size = sizeof(given), .op = METALLIC_SDPA, .seq_q = 3, .seq_k = 7, .heads = 4, .head_dim = 16};
  expect_right(context.get(), given, sdpa_problem(1, 4, 4, 3, 7, 16), "batch 1, as many kv_heads as heads, 1/sqrt(16)");
  given.scale = 0.25f;
  expect_right(context.get(), given, sdpa_problem(1, 4, 4, 3, 7, 16), "that scale");
  given.scale = 3;
  Problem steeper = sdpa_problem(1, 4, 4, 3, 7, 16);
  steeper.as<SdpaShape>().scale = 3;
  expect_right(context.get(), given, steeper, "another scale");
}

TEST_F(CApiTypes, EveryOperationInEveryPairOfTypes) {
  const auto context = make_context(options(2));
  for (const char* label :
       {"rows5_seqk300", "batch2_seqq3_seqk40_causal", "20x70x3", "3x70x40_tb", "batch2_h4kv2_seqq3_seqk20_d16_causal"})
    for (const auto& [in, in_dtype] : kTypes)
      for (const auto& [out, out_dtype] : kTypes) {
        if (in != out && in != METALLIC_F32 && out != METALLIC_F32) continue;
        metallic_problem given = from_label(label);
        given.dtype = in;
        given.out_dtype = out;
        Problem problem = *parse_label(label);
        problem.dtype = in_dtype;
        problem.out_dtype = out_dtype;
        const std::string what = fmt::format("{} {} -> {}", label, name(in_dtype), name(out_dtype));
        expect_right(context.get(), given, problem, what);
        EXPECT_EQ(explain(make_plan(context.get(), given).get())["dtype"], name(in_dtype)) << what;
        if (in != out) continue;
        given.out_dtype = METALLIC_DTYPE_DEFAULT;
        expect_right(context.get(), given, problem, what + " by default");
      }
}

TEST_F(CApiTypes, SoftmaxTakesAScale) {
  const auto context = make_context(options(1));
  metallic_problem given = from_label("rows3_seqk50");
  given.scale = 0.125f;
  Problem problem = *parse_label("rows3_seqk50");
  problem.as<SoftmaxShape>().scale = 0.125f;
  expect_right(context.get(), given, problem, "scaled");
}

TEST_F(CApiSdpa, RefusesWrongProblems) {
  const auto context = make_context(options(1));
  const auto create = [&](auto change) {
    metallic_problem problem = from_label("batch1_h4kv2_seqq3_seqk5_d8");
    change(problem);
    auto* plan = reinterpret_cast<metallic_plan*>(1);
    const metallic_status status = metallic_plan_create(context.get(), &problem, &plan);
    EXPECT_EQ(plan, nullptr);
    return status;
  };
  using P = metallic_problem;
  EXPECT_FAILS(create([](P& p) { p.kv_heads = 3; }), METALLIC_INVALID_ARGUMENT, HasSubstr("multiple of kv_heads, got 4 and 3"));
  EXPECT_FAILS(create([](P& p) { p.head_dim = -8; }), METALLIC_INVALID_ARGUMENT, HasSubstr("-8"));
  EXPECT_FAILS(create([](P& p) { p.k_strides.row = 7; }), METALLIC_INVALID_ARGUMENT, HasSubstr("stride"));
  for (const float scale : {-1.0f, INFINITY, NAN})
    EXPECT_FAILS(create([=](P& p) { p.scale = scale; }), METALLIC_INVALID_ARGUMENT, HasSubstr("scale"));
  EXPECT_FAILS(create([](P& p) { p.batch = p.k_strides.row = INT64_MAX; }), METALLIC_OUT_OF_MEMORY, HasSubstr("smaller shape"));
  EXPECT_FAILS(create([](P& p) {
                 p.dtype = METALLIC_F16;
                 p.out_dtype = METALLIC_BF16;
               }),
               METALLIC_INVALID_ARGUMENT, HasSubstr("inputs are f16 and the output is bf16"));
  const int nine = 9;
  EXPECT_FAILS(create([&](P& p) { std::memcpy(&p.out_dtype, &nine, sizeof(nine)); }), METALLIC_INVALID_ARGUMENT,
               HasSubstr("out_dtype is 9"), HasSubstr("METALLIC_BF16"));
}

TEST_F(CApiSdpa, RefusesWrongRuns) {
  const auto context = make_context(options(1));
  const auto plan = make_plan(context.get(), from_label("batch1_h4kv2_seqq3_seqk5_d8"));
  std::vector<float> q(96), k(80), v(80), out(96);
  EXPECT_FAILS(run(plan.get(), {sizeof(metallic_tensors), q.data(), k.data(), nullptr, out.data()}), METALLIC_INVALID_ARGUMENT,
               HasSubstr("tensors->c is NULL, 320 bytes"));
  EXPECT_FAILS(run(plan.get(), {sizeof(metallic_tensors), q.data(), k.data(), v.data(), q.data()}), METALLIC_INVALID_ARGUMENT,
               HasSubstr("in place"));
}

// The same token at the same place of a sequence, alone and with what follows it: chunked prefill, speculative decoding.
TEST_F(CApi, ABatchInvariantAttentionOfAQueryDoesNotDependOnThoseBesideIt) {
  const Variable numerics("METALLIC_DETERMINISM", "batch_invariant"), none("METALLIC_PROFILE", "none");
  const auto context = make_context(options(2));
  for (const metallic_dtype dtype : {METALLIC_F32, METALLIC_BF16})
    for (const int64_t visible : {300, 1000, 1030}) {
      constexpr int64_t kHeads = 2, kKeys = 1100, kDim = 32, kMost = 5;
      const size_t size = dtype == METALLIC_F32 ? 4 : 2;
      // Keys [kKeys] for all; queries [heads, seq_q] of which the first is the same.
      const auto random = [&](int64_t elements, uint64_t seed) {
        std::vector<std::byte> bytes(static_cast<size_t>(elements) * size);
        fill_random(dtype == METALLIC_F32 ? DType::f32 : DType::bf16, bytes.data(), static_cast<size_t>(elements), seed);
        return bytes;
      };
      const auto q = random(kHeads * kMost * kDim, 1), k = random(kHeads * kKeys * kDim, 2), v = random(kHeads * kKeys * kDim, 3);
      std::vector<std::byte> first;
      for (const int64_t seq_q : {int64_t{1}, int64_t{2}, kMost}) {
        metallic_problem problem{.struct_size = sizeof(problem), .op = METALLIC_SDPA, .dtype = dtype};
        problem.batch = 1;
        problem.heads = problem.kv_heads = kHeads;
        problem.seq_q = seq_q;
        problem.seq_k = kKeys;
        problem.head_dim = kDim;
        problem.causal = 1;
        problem.offset = visible - 1;
        problem.q_strides = problem.out_strides = {0, kMost * kDim, kDim};
        const auto plan = make_plan(context.get(), problem);
        std::vector<std::byte> out(q.size());
        const metallic_tensors operands = {sizeof(operands), q.data(), k.data(), v.data(), out.data()};
        ASSERT_EQ(run(plan.get(), operands), METALLIC_OK) << metallic_last_error();
        std::vector<std::byte> rows;
        for (int64_t head = 0; head < kHeads; ++head) {
          const auto at = out.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(head * kMost * kDim) * size);
          rows.insert(rows.end(), at, at + static_cast<std::ptrdiff_t>(kDim * size));
        }
        if (first.empty()) first = rows;
        EXPECT_EQ(rows, first) << seq_q << " queries, " << visible << " keys";
      }
    }
}

}  // namespace
}  // namespace metallic
