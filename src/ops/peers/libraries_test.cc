// SPDX-License-Identifier: Apache-2.0
// Tests peer variants beyond the test of all variants: 16-bit types, and calls from several threads.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "device/cpu/cpu_info.h"
#include "device/peers/cpu_libraries.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/planner.h"
#include "ops/registry.h"
#include "tuner/verify/oracle.h"

namespace metallic {
namespace {

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::internal, "libraries compute the whole"); }
};

class Libraries : public testing::Test {
 protected:
  void SetUp() override {
    device_.libraries = cpu::libraries();
    if (device_.libraries.empty()) GTEST_SKIP() << "no library on this machine, or none under this sanitizer";
  }

  // The peer variants that take a problem.
  std::vector<const Variant*> takers(const Problem& problem) const {
    std::vector<const Variant*> all;
    for (const Variant& variant : variants(problem.op()))
      if (!variant.library().empty() && !variant.rejects(problem, variant.tunings[0], device_)) all.push_back(&variant);
    return all;
  }

  std::unique_ptr<const Kernel> kernel(const Variant& variant, const Problem& problem) const {
    NoPlanner planner;
    auto made = variant.prepare(problem, variant.tunings[0], device_, planner);
    EXPECT_TRUE(made) << made.error().message;
    return made ? std::move(*made) : nullptr;
  }

  DeviceInfo device_ = cpu::device();
};

// The operands of a problem; padding and output are NaN.
struct Operands {
  explicit Operands(const Problem& problem) {
    const auto bytes = operand_bytes(problem);
    for (size_t i = 0; i < 2; ++i) {
      in[i].resize(static_cast<size_t>(bytes[i]));
      fill_random(problem.dtype, in[i].data(), in[i].size() / size_of(problem.dtype), 7 + i);
    }
    out.assign(static_cast<size_t>(bytes[kOut]), std::byte{0xff});
  }
  Args args() { return {.in = {in[0].data(), in[1].data()}, .out = out.data()}; }

  std::vector<std::byte> in[2], out;
};

std::vector<std::byte> workspace_of(const Kernel& kernel) { return std::vector<std::byte>(kernel.workspace() + 64); }

std::byte* aligned(std::vector<std::byte>& memory) {
  void* place = memory.data();
  size_t room = memory.size();
  return static_cast<std::byte*>(std::align(64, room - 64, place, room));
}

TEST_F(Libraries, RoundOnceIntoEveryTypeTheyTake) {
  InlineExecutor executor;
  size_t narrow = 0;
  for (const char* text : {"1x256x192_tb", "5x257x33", "64x300x48_ta", "batch3_16x64x40_tb", "40x64x9_a0.5_b2", "rows5_seqk257"})
    for (const DType dtype : kDTypes)
      for (const DType out_dtype : kDTypes) {
        Problem problem = *parse_label(text);
        problem.dtype = dtype;
        problem.out_dtype = out_dtype;
        problem.threads = 2;
        if (!validate(problem)) continue;
        for (const Variant* variant : takers(problem)) {
          const auto run = kernel(*variant, problem);
          ASSERT_TRUE(run);
          Operands operands(problem);
          if (problem.op() == kMatmul && problem.as<MatmulShape>().beta != 0)
            fill_random(out_dtype, operands.out.data(), operands.out.size() / size_of(out_dtype), 11);
          const std::vector<std::byte> before = operands.out;
          auto workspace = workspace_of(*run);
          ASSERT_EQ(run->run(operands.args(), aligned(workspace), executor), Code::ok);
          const auto wrong = first_difference(problem, operands.args(), before.data());
          EXPECT_FALSE(wrong) << fmt::format("{} on {} {} → {}: {}", variant->name, text, name(dtype), name(out_dtype), *wrong);
          narrow += dtype != DType::f32;
        }
      }
  const bool multiplies_bf16 = find_library(device_.libraries, "onednn") && device_.cpu().isa.starts_with("AVX3");
  EXPECT_EQ(narrow > 0, multiplies_bf16);
}

TEST_F(Libraries, OneKernelInTwoThreadsWithAWorkspaceEach) {
  for (const char* text : {"96x256x80", "rows64_seqk512"}) {
    Problem problem = *parse_label(text);
    problem.threads = 2;
    for (const Variant* variant : takers(problem)) {
      const auto shared = kernel(*variant, problem);
      ASSERT_TRUE(shared);
      const auto work = [&] {
        InlineExecutor executor;
        auto workspace = workspace_of(*shared);
        for (int i = 0; i < 10; ++i) {
          Operands operands(problem);
          EXPECT_EQ(shared->run(operands.args(), aligned(workspace), executor), Code::ok);
          const auto wrong = first_difference(problem, operands.args(), nullptr);
          EXPECT_FALSE(wrong) << variant->name << ": " << *wrong;
        }
      };
      std::thread other(work);
      work();
      other.join();
    }
  }
}

}  // namespace
}  // namespace metallic
