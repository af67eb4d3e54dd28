// SPDX-License-Identifier: Apache-2.0
// Packed weights through the C interface and the C++ header: the same results as with the plain matrix, a stable name, refusals.
#define METALLIC_IN_TREE
#include <metallic/metallic.hpp>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "testing/c_interface.h"

namespace metallic {
namespace {

using testing::HasSubstr;
using CApiPacked = CApi;

TEST_F(CApiPacked, ProductsAreThoseOfThePlainMatrix) {
  const auto context = make_context(options(2));
  for (const auto& [type, dtype] :
       {std::pair{METALLIC_F32, DType::f32}, {METALLIC_F16, DType::f16}, {METALLIC_BF16, DType::bf16}})
    for (const char* label : {"1x300x70_tb", "9x300x70", "40x65x33_tb", "100x64x7"}) {
      metallic_problem given = from_label(label);
      given.dtype = type;
      given.out_dtype = METALLIC_F32;
      given.ldb = (given.transpose_b ? given.k : given.n) + 3;
      Problem plain = *parse_label(label);
      plain.dtype = dtype;
      plain.as<MatmulShape>().ldb = given.ldb;
      const auto bytes = operand_bytes(plain);
      std::vector<std::byte> a(static_cast<size_t>(bytes[0])), b(static_cast<size_t>(bytes[1])),
          out(static_cast<size_t>(bytes[kOut]));
      fill_random(dtype, a.data(), a.size() / size_of(dtype), 1);
      fill_random(dtype, b.data(), b.size() / size_of(dtype), 2);
      size_t needed = 0;
      ASSERT_EQ(metallic_packed_bytes(&given, &needed), METALLIC_OK) << metallic_last_error();
      std::vector<std::byte> packed(needed, std::byte{0xff});
      ASSERT_EQ(metallic_pack(context.get(), &given, b.data(), packed.data()), METALLIC_OK) << metallic_last_error();
      given.packed = 1;
      const auto plan = make_plan(context.get(), given);
      ASSERT_EQ(run(plan.get(), tensors(a.data(), packed.data(), out.data())), METALLIC_OK) << metallic_last_error();
      const auto wrong = first_difference(plain, {.in = {a.data(), b.data()}, .out = out.data()}, nullptr);
      EXPECT_FALSE(wrong) << name(dtype) << ' ' << label << ": " << *wrong;
      EXPECT_THAT(std::string(explain(plan.get())["label"]), HasSubstr("_packed"));
    }
}

TEST_F(CApiPacked, ALabelSaysPacked) {
  const metallic_problem problem = from_label("8x64x96_packed");
  EXPECT_EQ(problem.packed, 1);
  EXPECT_EQ(problem.transpose_b, 0);
}

TEST_F(CApiPacked, TheOrderHasANameForEachType) {
  EXPECT_STREQ(metallic_packed_layout(METALLIC_F32), "panels32.f32");
  EXPECT_STREQ(metallic_packed_layout(METALLIC_F16), "panels32.f16");
  EXPECT_STREQ(metallic_packed_layout(METALLIC_BF16), "panels32.bf16x2");
  EXPECT_EQ(metallic_packed_layout(static_cast<metallic_dtype>(77)), nullptr);
}

TEST_F(CApiPacked, RefusalsSayWhatIsWrong) {
  const auto context = make_context(options(1));
  const std::vector<float> b(64);
  std::vector<float> packed(64 * 32);
  size_t bytes = 0;
  metallic_problem problem = from_label("rows4_seqk4");
  EXPECT_FAILS(metallic_packed_bytes(&problem, &bytes), METALLIC_INVALID_ARGUMENT, HasSubstr("softmax"));
  problem = from_label("8x8x8_packed");
  EXPECT_FAILS(metallic_pack(context.get(), &problem, b.data(), packed.data()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("packed already"));
  problem = from_label("batch2_8x8x8");
  EXPECT_FAILS(metallic_packed_bytes(&problem, &bytes), METALLIC_INVALID_ARGUMENT, HasSubstr("batch is 2"));
  problem = from_label("8x8x8");
  EXPECT_FAILS(metallic_pack(context.get(), &problem, nullptr, packed.data()), METALLIC_INVALID_ARGUMENT, HasSubstr("b is NULL"));
  EXPECT_FAILS(metallic_pack(context.get(), &problem, b.data(), nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("packed is NULL"));
  EXPECT_FAILS(metallic_pack(nullptr, &problem, b.data(), packed.data()), METALLIC_INVALID_ARGUMENT, HasSubstr("context"));
  problem.packed = 1;
  problem.batch = 2;
  metallic_plan* plan = nullptr;
  EXPECT_FAILS(metallic_plan_create(context.get(), &problem, &plan), METALLIC_INVALID_ARGUMENT, HasSubstr("one matrix"));
}

TEST_F(CApiPacked, TheHeaderForCppOwnsThem) {
  const mtl::Context context;
  const std::vector<float> x(3 * 50, 0.5f), w(40 * 50, 2.0f);
  std::vector<float> y(3 * 40);
  const mtl::Matmul shape = mtl::matmul(3, 50, 40).transpose_b();
  const mtl::PackedWeights weights(context, shape, w.data());
  EXPECT_EQ(weights.bytes(), 64u * 50 * sizeof(float));
  context.plan(shape.packed()).run(x.data(), weights.data(), y.data());
  for (const float value : y) EXPECT_EQ(value, 50);
}

}  // namespace
}  // namespace metallic
