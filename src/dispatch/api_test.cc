// SPDX-License-Identifier: Apache-2.0
// The C++ header from a caller's side: nothing of the library but <metallic/metallic.hpp>.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <metallic/metallic.hpp>
#include <thread>
#include <vector>

namespace {

class Api : public testing::Test {
 protected:
  Api() { setenv("METALLIC_PROFILE", "none", 1); }  // the user's must not decide what is tested
};

metallic::Options threads(int count) {
  metallic::Options options;
  options.threads = count;
  return options;
}

// Small integers, so that sums are exact.
std::vector<float> integers(size_t count, unsigned seed) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>((seed = seed * 1103515245 + 12345) >> 16 & 7) - 3;
  return values;
}

// C = A·Bᵀ as the definition has it.
std::vector<float> product_tb(const std::vector<float>& a, const std::vector<float>& b, size_t m, size_t k, size_t n) {
  std::vector<float> c(m * n);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j)
      for (size_t x = 0; x < k; ++x) c[i * n + j] += a[i * k + x] * b[j * k + x];
  return c;
}

TEST_F(Api, TenLines) {
  metallic::Context context;
  const auto plan = context.plan(metallic::matmul(8, 64, 48).transpose_b());
  const auto a = integers(8 * 64, 1), b = integers(48 * 64, 2);
  std::vector<float> c(8 * 48);
  plan.run(a.data(), b.data(), c.data());
  EXPECT_EQ(c, product_tb(a, b, 8, 64, 48));
  EXPECT_NE(plan.explain().find("\"8x64x48_tb\""), std::string_view::npos);
}

// A plan takes its operation's operands and no others.
template <typename Plan, typename... Operands>
concept Runs = requires(const Plan& plan, Operands... operands) {
  plan.run(operands...);
};
static_assert(Runs<metallic::SoftmaxPlan, const float*, float*> &&
              !Runs<metallic::SoftmaxPlan, const float*, const float*, float*>);
static_assert(Runs<metallic::MatmulPlan, const float*, const float*, float*> &&
              !Runs<metallic::MatmulPlan, const float*, float*>);
static_assert(Runs<metallic::SdpaPlan, const float*, const float*, const float*, float*> &&
              !Runs<metallic::SdpaPlan, const float*, const float*, float*>);
static_assert(std::is_same_v<mtl::Context, metallic::Context>, "the name before 0.5");

TEST_F(Api, AContextKeepsItsPlans) {
  const metallic::Context context(threads(1));
  const auto first = context.acquire(metallic::softmax(2, 4)), second = context.acquire(metallic::softmax(2, 4));
  EXPECT_EQ(first.get(), second.get());
  EXPECT_NE(first.get(), context.acquire(metallic::matmul(2, 4, 4)).get());
  EXPECT_EQ(context.acquire(metallic::problem("rows2_seqk4")).get(), first.get());
  EXPECT_TRUE(first.candidate().starts_with("cpu_")) << first.candidate();
  const std::vector<float> x(8, 1);
  std::vector<float> y(8);
  first.run(x.data(), y.data());
  EXPECT_EQ(y, std::vector<float>(8, 0.25f));
}

TEST_F(Api, AScaleOfZeroIsRefusedRatherThanTheDefault) {
  const metallic::Context context(threads(1));
  EXPECT_THROW(context.plan(metallic::softmax(2, 4).scale(0)), metallic::Error);
  EXPECT_THROW(context.plan(metallic::sdpa(1, 1, 1, 2, 4, 8).scale(0)), metallic::Error);
  const std::vector<float> a = {1, 2, 3, 4};
  std::vector<float> c(4, 6);
  context.plan(metallic::matmul(2, 2, 2).scale(0, 0.5f)).run(a.data(), a.data(), c.data());
  EXPECT_EQ(c, std::vector<float>(4, 3));
}

TEST_F(Api, SoftmaxInAndOutOfPlace) {
  const metallic::Context context(threads(2));
  metallic::Plan plan = context.plan(metallic::softmax(2, 3, 5).causal());
  std::vector<float> x(30, 0.5f), y(30);
  plan.run(x.data(), y.data());
  plan.run(x.data(), x.data());
  EXPECT_EQ(x, y);
  // Equal inputs share the visible keys equally: 3, 4 and 5 of them.
  for (int row = 0; row < 6; ++row)
    for (int key = 0; key < 5; ++key) {
      const int visible = row % 3 + 3;
      EXPECT_NEAR(y[static_cast<size_t>(row * 5 + key)], key < visible ? 1.0 / visible : 0.0, 1e-6) << row << ' ' << key;
    }
}

TEST_F(Api, AttentionOverACache) {
  const metallic::Context context(threads(2));
  // Two heads share a cache [capacity, head_dim] of which two keys are filled; scores 0 and ln 3, then 0 and 0.
  constexpr int64_t kCapacity = 5, kDim = 2;
  const metallic_strides tokens = {2 * kDim, kDim, 2 * kDim}, cache = {kCapacity * kDim, kDim, kDim};
  metallic::Plan plan = context.plan(metallic::sdpa(1, 2, 1, 1, 2, kDim).causal().scale(1).strides(tokens, cache, cache, tokens));
  const float nan = std::nanf("");
  const std::vector<float> q = {std::log(3.0f), 0, 0, 0}, k = {0, 0, 1, 0, nan, nan, nan, nan, nan, nan},
                           v = {4, 8, 8, 16, nan, nan, nan, nan, nan, nan};
  std::vector<float> out(4);
  plan.run(q.data(), k.data(), v.data(), out.data());
  const metallic::Workspace workspace = plan.workspace();
  std::vector<float> again(4);
  plan.run(q.data(), k.data(), v.data(), again.data(), workspace);
  EXPECT_EQ(out, again);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(out[i], std::vector<float>({7, 14, 6, 12})[i], 1e-5) << i;
  const metallic_problem problem = metallic::sdpa(1, 2, 3, 4, 5, 6).causal();
  EXPECT_EQ(problem.op, METALLIC_SDPA);
  EXPECT_EQ(problem.batch * 100000 + problem.heads * 10000 + problem.kv_heads * 1000 + problem.seq_q * 100 + problem.seq_k * 10 +
                problem.head_dim,
            123456);
  EXPECT_EQ(problem.offset, 1);
  EXPECT_EQ(problem.scale, 0);
}

TEST_F(Api, TypesOfInputsAndOutput) {
  const metallic::Context context(threads(1));
  const std::vector<uint16_t> one_two_bf16 = {0x3f80, 0x4000}, one_two_f16 = {0x3c00, 0x4000};
  float dot = 0;
  context.plan(metallic::matmul(1, 2, 1).dtype(METALLIC_BF16, METALLIC_F32)).run(one_two_bf16.data(), one_two_bf16.data(), &dot);
  EXPECT_EQ(dot, 5);
  uint16_t stored = 0;
  context.plan(metallic::matmul(1, 2, 1).dtype(METALLIC_F16)).run(one_two_f16.data(), one_two_f16.data(), &stored);
  EXPECT_EQ(stored, 0x4500) << "5 in f16";
  EXPECT_THROW(context.plan(metallic::matmul(1, 2, 1).dtype(METALLIC_F16, METALLIC_BF16)), metallic::Error);
}

TEST_F(Api, NumericsAreTheContexts) {
  metallic::Options options = threads(1);
  const auto explained = [&] { return std::string(metallic::Context(options).plan(metallic::softmax(4, 5000)).explain()); };
  EXPECT_NE(explained().find("\"variant\": \"cpu_block\","), std::string::npos) << explained();
  options.numerics = METALLIC_BATCH_INVARIANT;
  EXPECT_NE(explained().find("sums in another order"), std::string::npos) << explained();
}

TEST_F(Api, BuildersSayWhatTheCallerMeant) {
  const metallic_problem matmul =
      metallic::matmul(4, 5, 6).transpose_a().scale(2, 0.5f).batch(3).row_strides(7, 8, 9).batch_strides(50, 60, 70);
  EXPECT_EQ(matmul.struct_size, sizeof(metallic_problem));
  EXPECT_EQ(matmul.op, METALLIC_MATMUL);
  EXPECT_EQ(matmul.m * 100 + matmul.k * 10 + matmul.n, 456);
  EXPECT_EQ(matmul.transpose_a, 1);
  EXPECT_EQ(matmul.transpose_b, 0);
  EXPECT_EQ(matmul.alpha, 2);
  EXPECT_EQ(matmul.beta, 0.5f);
  EXPECT_EQ(matmul.batch, 3);
  EXPECT_EQ(matmul.lda * 100 + matmul.ldb * 10 + matmul.ldc, 789);
  EXPECT_EQ(matmul.batch_stride_a + matmul.batch_stride_b + matmul.batch_stride_c, 180);
  const metallic_problem softmax = metallic::softmax(2, 3, 5).causal(-1).strides(6, 7);
  EXPECT_EQ(softmax.op, METALLIC_SOFTMAX);
  EXPECT_EQ(softmax.batch * 100 + softmax.seq_q * 10 + softmax.seq_k, 235);
  EXPECT_EQ(softmax.causal, 1);
  EXPECT_EQ(softmax.offset, -1);
  EXPECT_EQ(softmax.in_stride * 10 + softmax.out_stride, 67);
  EXPECT_EQ(metallic::problem("4096x4096x8_tb").transpose_b, 1);
}

TEST_F(Api, ErrorsCarryStatusAndMessage) {
  const metallic::Context context(threads(1));
  try {
    context.plan(metallic::matmul(-1, 4, 4));
    FAIL() << "a negative dimension passed";
  } catch (const metallic::Error& error) {
    EXPECT_EQ(error.status(), METALLIC_INVALID_ARGUMENT);
    EXPECT_NE(std::string(error.what()).find("M -1"), std::string::npos) << error.what();
  }
  EXPECT_THROW(metallic::problem("conv3x3"), metallic::Error);
  EXPECT_THROW(metallic::Context(threads(-1)), metallic::Error);
  metallic::Plan plan = context.plan(metallic::softmax(2, 4));
  EXPECT_THROW(plan.run(nullptr, nullptr), metallic::Error);
}

TEST_F(Api, OnePlanInTwoThreadsWithAWorkspaceEach) {
  const metallic::Context context(threads(2));
  const metallic::Plan plan = context.plan(metallic::matmul(100, 90, 80).transpose_b());
  const auto a = integers(100 * 90, 3), b = integers(80 * 90, 4), expected = product_tb(a, b, 100, 90, 80);
  const auto work = [&] {
    const metallic::Workspace workspace = plan.workspace();
    EXPECT_EQ(workspace.bytes(), plan.workspace_bytes());
    for (int i = 0; i < 20; ++i) {
      std::vector<float> c(100 * 80);
      plan.run(a.data(), b.data(), c.data(), workspace);
      EXPECT_EQ(c, expected);
    }
  };
  std::thread other(work);
  work();
  other.join();
}

TEST_F(Api, AWorkspaceMayBeTheCallersMemory) {
  const metallic::Context context(threads(1));
  const metallic::Plan plan = context.plan(metallic::matmul(100, 90, 80).transpose_b());
  const auto a = integers(100 * 90, 3), b = integers(80 * 90, 4);
  std::vector<std::max_align_t> memory(plan.workspace_bytes() / sizeof(std::max_align_t) + 64);
  void* begin = memory.data();
  size_t bytes = memory.size() * sizeof(std::max_align_t);
  ASSERT_NE(std::align(64, plan.workspace_bytes(), begin, bytes), nullptr);
  std::vector<float> c(100 * 80);
  plan.run(a.data(), b.data(), c.data(), metallic::Workspace(begin, bytes));
  EXPECT_EQ(c, product_tb(a, b, 100, 90, 80));
}

TEST_F(Api, ExecutorAndLogAreTheCallers) {
  struct Serial : metallic::Executor {
    int threads() const override { return 4; }
    void parallel(size_t count, Task task, void* context) override {
      ++calls;
      for (size_t i = 0; i < count; ++i) task(context, i);
    }
    int calls = 0;
  } serial;
  std::string logged;
  metallic::Options options;
  options.executor = &serial;
  options.profile = "/nonexistent/profile.json";
  options.log = [&](std::string_view level, std::string_view message) { logged.append(level).append(": ").append(message); };
  unsetenv("METALLIC_PROFILE");
  metallic::Context first(options);
  setenv("METALLIC_PROFILE", "none", 1);
  EXPECT_EQ(logged.find("warning: "), 0u) << logged;
  EXPECT_NE(logged.find("/nonexistent/profile.json"), std::string::npos) << logged;
  const metallic::Context moved = std::move(first);  // log and executor go with it
  metallic::Plan plan = moved.plan(metallic::softmax(500, 1000));
  std::vector<float> x(500 * 1000, 1.0f);
  plan.run(x.data(), x.data());
  EXPECT_GE(serial.calls, 1);
  EXPECT_NEAR(x[1234], 1e-3, 1e-9);
  metallic::Plan other = std::move(plan);
  other.run(x.data(), x.data());
  EXPECT_GE(serial.calls, 2);
}

}  // namespace
