// SPDX-License-Identifier: Apache-2.0
// Packed weights are the same numbers in the order that ops/matmul/packed.h gives, with zeros where there is no weight, and a
// product with them has the bits of one with the plain matrix.
#include "ops/matmul/pack_weights.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "ops/label.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/planner.h"
#include "ops/registry.h"
#include "ops/softmax/shape.h"
#include "tuner/verify/oracle.h"

namespace metallic::matmul {
namespace {

class NoPlanner final : public Planner {
  Result<Plan> plan_part(const Problem&) override { return fail(Code::internal, "no parts here"); }
};

Problem with_packed(Problem problem) {
  make_packed(problem.as<MatmulShape>());
  return problem;
}

// Operands of a problem and its B once more, packed; NaN before anything is written.
struct Weights {
  Problem problem;
  std::vector<std::byte> b, packed;

  explicit Weights(const Problem& of, Executor& executor) : problem(of) {
    const auto bytes = static_cast<size_t>(operand_bytes(problem)[1]);
    b.resize(bytes);
    fill_random(problem.dtype, b.data(), bytes / size_of(problem.dtype), 7);
    packed.assign(static_cast<size_t>(packed_bytes(problem).value()), std::byte{0xff});
    const Status done = pack_weights(problem, b.data(), packed.data(), executor);
    EXPECT_TRUE(done) << done.error().message;
  }
};

Problem strided(bool tb, int64_t k, int64_t n, DType dtype) {
  Problem problem = with_dtype(matmul_problem(3, k, n, false, tb), dtype);
  auto& shape = problem.as<MatmulShape>();
  shape.ldb += 5;
  return problem;
}

TEST(PackWeights, MovesEveryElementAndFillsUpWithZeros) {
  cpu::Pool pool(2);
  for (const DType dtype : kDTypes)
    for (const bool tb : {false, true})
      for (const int64_t k : {1, 2, 31, 32, 33, 129})
        for (const int64_t n : {1, 31, 32, 33, 100}) {
          const Weights weights(strided(tb, k, n, dtype), pool);
          const MatmulShape& s = weights.problem.as<MatmulShape>();
          int64_t others = static_cast<int64_t>(weights.packed.size() / size_of(dtype));
          EXPECT_EQ(others, (n + kPanel - 1) / kPanel * panel_elements(dtype, k));
          double sum = 0, packed_sum = 0;
          for (int64_t i = 0; i < k; ++i)
            for (int64_t j = 0; j < n; ++j) {
              const double plain = element(dtype, weights.b.data(), tb ? j * s.ldb + i : i * s.ldb + j);
              ASSERT_EQ(element(dtype, weights.packed.data(), packed_index(dtype, k, i, j)), plain)
                  << name(dtype) << ' ' << k << 'x' << n << (tb ? "_tb " : " ") << i << ' ' << j;
              sum += std::abs(plain);
            }
          for (int64_t i = 0; i < others; ++i) packed_sum += std::abs(element(dtype, weights.packed.data(), i));
          EXPECT_DOUBLE_EQ(packed_sum, sum) << "beside the weights there are zeros only";
        }
}

TEST(PackWeights, GiveTheBitsOfThePlainProduct) {
  cpu::Pool pool(2);
  const DeviceInfo device = cpu::device();
  NoPlanner planner;
  for (const DType dtype : kDTypes)
    for (const int64_t m : {1, 15, 40})
      for (const char* const variant_name : {"cpu_gemm", "cpu_gemm_bf16", "cpu_gemm_amx"}) {
        Problem plain = with_dtype(matmul_problem(m, 1100, 77, false, true), dtype);
        plain.threads = 2;
        const Weights weights(plain, pool);
        const Problem packed = with_packed(plain);
        const Variant* const variant = find_variant(kMatmul, variant_name);
        ASSERT_TRUE(variant);
        const Tuning& tuning = variant->prefer(packed, device);
        if (variant->rejects(packed, tuning, device)) continue;
        std::vector<std::byte> a(static_cast<size_t>(operand_bytes(plain)[0]));
        fill_random(dtype, a.data(), a.size() / size_of(dtype), 3);
        const auto product = [&](const Problem& problem, const std::vector<std::byte>& b) {
          std::vector<std::byte> out(static_cast<size_t>(operand_bytes(plain)[kOut]));
          const auto kernel = variant->prepare(problem, tuning, device, planner).value();
          std::vector<std::byte> scratch(kernel->workspace() + 64);
          std::byte* const aligned = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
          EXPECT_EQ(kernel->run({.in = {a.data(), b.data()}, .out = out.data()}, aligned, pool), Code::ok);
          return out;
        };
        EXPECT_EQ(product(plain, weights.b), product(packed, weights.packed)) << variant_name << ' ' << name(dtype) << ' ' << m;
      }
}

TEST(PackWeights, RefuseWhatHasNone) {
  InlineExecutor executor;
  std::vector<std::byte> room(1 << 16);
  const auto refused = [&](const Problem& problem) {
    const Status done = pack_weights(problem, room.data(), room.data(), executor);
    return done ? std::string() : done.error().message;
  };
  EXPECT_NE(refused(softmax_problem(4, 4)), "");
  EXPECT_NE(refused(matmul_problem(4, 4, 4, false, false, 2)), "");
  EXPECT_NE(refused(with_packed(matmul_problem(4, 4, 4))), "");
  EXPECT_NE(refused(matmul_problem(4, -4, 4)), "");
  EXPECT_EQ(refused(matmul_problem(4, 0, 4)), "");
  EXPECT_FALSE(packed_bytes(matmul_problem(1, int64_t{1} << 40, int64_t{1} << 30))) << "more bytes than there are addresses";
}

}  // namespace
}  // namespace metallic::matmul
