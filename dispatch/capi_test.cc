// The C interface from outside: results, every error's status and message, executors, and runs that allocate nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "core/label.h"
#include "kernels/oracle.h"
#include "metallic/metallic.h"

// Counts allocations of the whole program, where no sanitizer has its own allocator.
static std::atomic<size_t> allocations{0};
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
constexpr bool kCountsAllocations = true;
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
// Exported, or the standard library's own calls would not come here.
#pragma GCC visibility push(default)
void* malloc(size_t size) {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++allocations;
  return __libc_memalign(alignment, size);
}
#pragma GCC visibility pop
}
#else
constexpr bool kCountsAllocations = false;
#endif

namespace metallic {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Sets a variable for a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    setenv(name, value, 1);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

struct DestroyContext {
  void operator()(metallic_context* context) const { metallic_context_destroy(context); }
};
struct DestroyPlan {
  void operator()(metallic_plan* plan) const { metallic_plan_destroy(plan); }
};
using ContextHandle = std::unique_ptr<metallic_context, DestroyContext>;
using PlanHandle = std::unique_ptr<metallic_plan, DestroyPlan>;

metallic_context_options options(int threads) { return {.struct_size = sizeof(metallic_context_options), .threads = threads}; }

ContextHandle make_context(const metallic_context_options& wanted) {
  metallic_context* context = nullptr;
  EXPECT_EQ(metallic_context_create(&wanted, &context), METALLIC_OK) << metallic_last_error();
  return ContextHandle(context);
}

metallic_problem from_label(const std::string& label) {
  metallic_problem problem{.struct_size = sizeof(problem)};
  EXPECT_EQ(metallic_problem_from_label(label.c_str(), &problem), METALLIC_OK) << metallic_last_error();
  return problem;
}

PlanHandle make_plan(metallic_context* context, const metallic_problem& problem) {
  metallic_plan* plan = nullptr;
  EXPECT_EQ(metallic_plan_create(context, &problem, &plan), METALLIC_OK) << metallic_last_error();
  return PlanHandle(plan);
}

metallic_tensors tensors(const void* a, const void* b, void* out) { return {sizeof(metallic_tensors), a, b, nullptr, out}; }

// A plan's scratch memory, aligned to 64.
class Scratch {
 public:
  explicit Scratch(const metallic_plan* plan) {
    EXPECT_EQ(metallic_plan_workspace(plan, &bytes_), METALLIC_OK);
    memory_.resize(bytes_ + 63);
  }
  void* data() { return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(memory_.data()) + 63) / 64 * 64); }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
  std::vector<char> memory_;
};

metallic_status run(const metallic_plan* plan, const metallic_tensors& operands) {
  Scratch scratch(plan);
  return metallic_plan_run(plan, &operands, scratch.data(), scratch.bytes());
}

std::vector<float> random_floats(int64_t bytes, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(bytes) / sizeof(float));
  fill_random(DType::f32, values.data(), values.size(), seed);
  return values;
}

nlohmann::json explain(const metallic_plan* plan) {
  const char* text = nullptr;
  EXPECT_EQ(metallic_plan_explain(plan, &text), METALLIC_OK);
  return nlohmann::json::parse(text);
}

// An executor that runs each task on the calling thread and counts its calls.
struct Counting {
  std::atomic<int> calls{0};
  std::atomic<size_t> tasks{0};
  metallic_executor as_executor(int threads) {
    return {.struct_size = sizeof(metallic_executor),
            .user = this,
            .threads = threads,
            .parallel = [](void* user, size_t count, void (*task)(void*, size_t), void* context) {
              auto* self = static_cast<Counting*>(user);
              ++self->calls;
              self->tasks += count;
              for (size_t i = 0; i < count; ++i) task(context, i);
            }};
  }
};

size_t threads_of_this_process() {
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

class CApi : public testing::Test {
  Variable no_profile_{"METALLIC_PROFILE", "none"};  // the user's must not decide what is tested
};

TEST_F(CApi, ComputesWhatLabelsName) {
  const auto context = make_context(options(2));
  for (const char* label :
       {"rows7_seqk300", "rows2_seqk20000", "batch2_seqq5_seqk70_causal", "batch2_seqq5_seqk70_causal_offset-2", "33x65x3",
        "3x65x33_tb", "70x40x50_ta", "batch3_20x30x40_tb", "20x30x40_a2_b0.5", "5x0x5"}) {
    const Problem problem = *parse_label(label);
    const auto bytes = operand_bytes(problem);
    const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2), before = random_floats(bytes[kOut], 3);
    auto out = before;
    const auto plan = make_plan(context.get(), from_label(label));
    ASSERT_EQ(run(plan.get(), tensors(a.data(), b.data(), out.data())), METALLIC_OK) << metallic_last_error();
    const auto wrong = first_difference(problem, {.in = {a.data(), b.data()}, .out = out.data()}, before.data());
    EXPECT_FALSE(wrong) << label << ": " << *wrong;
  }
}

TEST_F(CApi, KeepsToStrides) {
  const auto context = make_context(options(1));
  // B is stored [n,k] in rows of 12; C's padded matrices follow one another, since no batch stride is given.
  metallic_problem given = from_label("batch2_4x10x6_tb");
  given.ldb = 12;
  given.ldc = 8;
  Problem problem = matmul_problem(4, 10, 6, false, true, 2);
  auto& s = std::get<MatmulShape>(problem.shape);
  s.ldb = 12;
  s.batch_stride_b = 6 * 12;
  s.ldc = 8;
  s.batch_stride_c = 4 * 8;
  const auto bytes = operand_bytes(problem);
  const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2);
  std::vector<float> c(static_cast<size_t>(bytes[kOut]) / sizeof(float), 77);
  const auto plan = make_plan(context.get(), given);
  ASSERT_EQ(run(plan.get(), tensors(a.data(), b.data(), c.data())), METALLIC_OK) << metallic_last_error();
  EXPECT_EQ(first_difference(problem, {.in = {a.data(), b.data()}, .out = c.data()}, nullptr), std::nullopt);
  EXPECT_EQ(c[6], 77);
  EXPECT_EQ(c[7], 77);
}

TEST_F(CApi, RunsSoftmaxInPlace) {
  const auto context = make_context(options(2));
  for (const char* label : {"rows5_seqk100", "rows3_seqk9000"}) {
    const Problem problem = *parse_label(label);
    const auto in = random_floats(operand_bytes(problem)[0], 4);
    auto both = in;
    const auto plan = make_plan(context.get(), from_label(label));
    ASSERT_EQ(run(plan.get(), tensors(both.data(), nullptr, both.data())), METALLIC_OK) << metallic_last_error();
    EXPECT_EQ(first_difference(problem, {.in = {in.data()}, .out = both.data()}, nullptr), std::nullopt) << label;
  }
}

TEST_F(CApi, TakesProblemsWithoutElements) {
  const auto context = make_context(options(2));
  for (const char* label : {"rows0_seqk8", "rows8_seqk0", "batch2_seqq0_seqk3_causal", "0x4x4", "4x4x0_tb"}) {
    const auto plan = make_plan(context.get(), from_label(label));
    const auto bytes = operand_bytes(*parse_label(label));
    const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2);
    EXPECT_EQ(run(plan.get(), tensors(bytes[0] ? a.data() : nullptr, bytes[1] ? b.data() : nullptr, nullptr)), METALLIC_OK)
        << label << ": " << metallic_last_error();
  }
}

TEST_F(CApi, LabelsFillAProblemWhoseStridesAreImplied) {
  const metallic_problem causal = from_label("batch2_seqq5_seqk70_causal");
  EXPECT_EQ(causal.op, METALLIC_SOFTMAX);
  EXPECT_EQ(causal.struct_size, sizeof(metallic_problem));
  EXPECT_EQ(causal.batch, 2);
  EXPECT_EQ(causal.causal, 1);
  EXPECT_EQ(causal.offset, 65);
  EXPECT_EQ(causal.in_stride, 0);
  const metallic_problem scaled = from_label("batch3_4x5x6_ta_a2_b0.5");
  EXPECT_EQ(scaled.op, METALLIC_MATMUL);
  EXPECT_EQ(scaled.transpose_a, 1);
  EXPECT_EQ(scaled.transpose_b, 0);
  EXPECT_EQ(scaled.alpha, 2);
  EXPECT_EQ(scaled.beta, 0.5f);
  EXPECT_EQ(scaled.n, 6);
  const auto context = make_context(options(1));
  for (const char* label : {"rows4_seqk16", "batch1_seqq4_seqk16", "batch2_seqq5_seqk70_causal", "4x5x6_ta_tb"})
    EXPECT_EQ(explain(make_plan(context.get(), from_label(label)).get())["label"], label);
}

TEST_F(CApi, UsesTheInjectedExecutorAndStartsNoThread) {
  Counting counting;
  const size_t before = threads_of_this_process();
  const metallic_executor executor = counting.as_executor(3);
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  auto context = make_context(wanted);
  const auto plan = make_plan(context.get(), from_label("rows600_seqk1000"));
  EXPECT_EQ(explain(plan.get())["threads"], 3);
  // The plan owns what it needs: it outlives the context where the executor is the caller's.
  context.reset();
  const Problem problem = softmax_problem(600, 1000);
  const auto in = random_floats(operand_bytes(problem)[0], 5);
  std::vector<float> out(in.size());
  ASSERT_EQ(run(plan.get(), tensors(in.data(), nullptr, out.data())), METALLIC_OK) << metallic_last_error();
  EXPECT_GE(counting.calls, 1);
  EXPECT_GE(counting.tasks, 3u);
  EXPECT_EQ(threads_of_this_process(), before);
  EXPECT_EQ(first_difference(problem, {.in = {in.data()}, .out = out.data()}, nullptr, 32), std::nullopt);
}

TEST_F(CApi, RunsAllocateNothing) {
  if (!kCountsAllocations) GTEST_SKIP() << "the sanitizer has its own allocator";
  Counting counting;
  const metallic_executor executor = counting.as_executor(2);
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  const auto context = make_context(wanted);
  for (const char* label : {"rows64_seqk1000", "rows1_seqk40000", "300x300x2", "2x300x300_tb", "200x100x150", "64x64x64_ta"}) {
    const auto plan = make_plan(context.get(), from_label(label));
    const auto bytes = operand_bytes(*parse_label(label));
    const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2);
    std::vector<float> out(static_cast<size_t>(bytes[kOut]) / sizeof(float));
    Scratch scratch(plan.get());
    const metallic_tensors operands = tensors(a.data(), b.data(), out.data());
    const size_t before = allocations;
    const metallic_status status = metallic_plan_run(plan.get(), &operands, scratch.data(), scratch.bytes());
    EXPECT_EQ(allocations - before, 0u) << label;
    EXPECT_EQ(status, METALLIC_OK);
  }
  const size_t before = allocations;
  const int* volatile escapes = new int(10);  // volatile, or compilers drop the pair
  delete escapes;
  EXPECT_GE(allocations - before, 1u) << "the counter counts";
}

TEST_F(CApi, LoggedRunsAllocateNothingEither) {
  if (!kCountsAllocations) GTEST_SKIP() << "the sanitizer has its own allocator";
  const std::string folder = testing::TempDir() + "metallic_capi_test";
  const Variable profiler("METALLIC_GPU_PROFILER", "true"), trace("METALLIC_TRACE", (folder + "/trace").c_str()),
      record("METALLIC_RECORD", (folder + "/record").c_str());
  {
    const auto context = make_context(options(1));
    const auto plan = make_plan(context.get(), from_label("rows4_seqk64"));
    const auto in = random_floats(operand_bytes(softmax_problem(4, 64))[0], 1);
    std::vector<float> out(in.size());
    const metallic_tensors operands = tensors(in.data(), nullptr, out.data());
    const size_t before = allocations;
    const metallic_status status = metallic_plan_run(plan.get(), &operands, nullptr, 0);
    EXPECT_EQ(allocations - before, 0u);
    EXPECT_EQ(status, METALLIC_OK);
  }
  std::filesystem::remove_all(folder);
}

TEST_F(CApi, OnePlanRunsInSeveralThreads) {
  const auto context = make_context(options(2));
  for (const char* label : {"rows64_seqk1000", "rows1_seqk40000", "100x90x80", "300x200x3"}) {
    const Problem problem = *parse_label(label);
    const auto bytes = operand_bytes(problem);
    const auto plan = make_plan(context.get(), from_label(label));
    const auto work = [&](uint64_t seed) {
      const auto a = random_floats(bytes[0], seed), b = random_floats(bytes[1], seed + 1);
      std::vector<float> out(static_cast<size_t>(bytes[kOut]) / sizeof(float));
      for (int i = 0; i < 5; ++i) EXPECT_EQ(run(plan.get(), tensors(a.data(), b.data(), out.data())), METALLIC_OK);
      EXPECT_EQ(first_difference(problem, {.in = {a.data(), b.data()}, .out = out.data()}, nullptr), std::nullopt) << label;
    };
    std::thread other([&] { work(100); });
    work(200);
    other.join();
  }
}

TEST_F(CApi, ContextsWithDifferentForcedVariantsCoexist) {
  const auto forced = [](const char* variant) {
    const Variable variable("METALLIC_SOFTMAX_VARIANT", variant);
    return make_context(options(1));
  };
  const auto vec = forced("vec"), block = forced("block");
  const auto by_vec = make_plan(vec.get(), from_label("rows4_seqk5000")),
             by_block = make_plan(block.get(), from_label("rows4_seqk5000"));
  EXPECT_EQ(explain(by_vec.get())["variant"], "cpu_vec");
  EXPECT_EQ(explain(by_block.get())["variant"], "cpu_block");
  const Problem problem = softmax_problem(4, 5000);
  const auto in = random_floats(operand_bytes(problem)[0], 6);
  for (const auto* plan : {by_vec.get(), by_block.get()}) {
    std::vector<float> out(in.size());
    EXPECT_EQ(run(plan, tensors(in.data(), nullptr, out.data())), METALLIC_OK);
    EXPECT_EQ(first_difference(problem, {.in = {in.data()}, .out = out.data()}, nullptr), std::nullopt);
  }
}

TEST_F(CApi, ExplainsDecisions) {
  const auto context = make_context(options(1));
  const auto json = explain(make_plan(context.get(), from_label("rows4_seqk100")).get());
  for (const char* key : {"op", "label", "dtype", "device", "threads", "variant", "tuning", "source", "rule", "margin",
                          "candidates", "refused", "parts"})
    EXPECT_TRUE(json.contains(key)) << key;
  EXPECT_EQ(json["op"], "softmax");
  EXPECT_EQ(json["source"], "default");
  EXPECT_FALSE(json["candidates"].empty());
}

TEST_F(CApi, ExplainsFromAProfileWhosePathIsNoUtf8) {
  const Variable path("METALLIC_PROFILE", "/nonexistent/\xff\xfe.json");
  std::string messages;
  metallic_context_options wanted = options(1);
  wanted.log_user = &messages;
  wanted.log = [](void* user, const char* level, const char* message) {
    *static_cast<std::string*>(user) += std::string(level) + ": " + message;
  };
  const auto context = make_context(wanted);
  EXPECT_THAT(messages, AllOf(HasSubstr("warning: "), HasSubstr("/nonexistent/")));
  EXPECT_NE(explain(make_plan(context.get(), from_label("rows4_seqk100")).get())["source"], "user");
}

// Expects a call to have failed, and what the error says.
#define EXPECT_FAILS(call, status, ...)                             \
  do {                                                              \
    EXPECT_EQ((call), status);                                      \
    const std::string message = metallic_last_error();              \
    EXPECT_THAT(message, AllOf(__VA_ARGS__));                       \
    EXPECT_EQ(message.find('\n'), std::string::npos) << "one line"; \
  } while (false)

TEST_F(CApi, RefusesWrongContexts) {
  const auto create = [](const metallic_context_options& wanted) {
    auto* context = reinterpret_cast<metallic_context*>(1);
    const metallic_status status = metallic_context_create(&wanted, &context);
    EXPECT_EQ(context, nullptr);
    return status;
  };
  metallic_context_options wanted = options(1);
  EXPECT_FAILS(metallic_context_create(&wanted, nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("context is NULL"));
  for (const size_t size : {size_t{0}, sizeof(void*), sizeof(wanted) - 1}) {
    wanted.struct_size = size;
    EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("options->struct_size is " + std::to_string(size)),
                 HasSubstr("sizeof(metallic_context_options)"));
  }
  EXPECT_FAILS(create(options(-1)), METALLIC_INVALID_ARGUMENT, HasSubstr("threads is -1"));
  wanted = options(1);
  wanted.model = "../x";
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("../x"));

  Counting counting;
  metallic_executor executor = counting.as_executor(0);
  wanted = options(1);
  wanted.executor = &executor;
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("executor->threads is 0"));
  executor = counting.as_executor(1);
  executor.parallel = nullptr;
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("executor->parallel is NULL"));
  executor.struct_size = 8;
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("executor->struct_size is 8"));

  const Variable variable("METALLIC_SOFTMAX_VARIANT", "vecc");
  EXPECT_FAILS(create(options(1)), METALLIC_INVALID_ARGUMENT, HasSubstr("METALLIC_SOFTMAX_VARIANT is \"vecc\""),
               HasSubstr("cpu_block"));
}

TEST_F(CApi, TakesNullOptionsAndLargerStructs) {
  metallic_context* context = nullptr;
  ASSERT_EQ(metallic_context_create(nullptr, &context), METALLIC_OK) << metallic_last_error();
  const ContextHandle owner(context);
  // What a caller with a later header passes.
  struct Newer {
    metallic_problem known;
    int64_t later[4] = {1, 2, 3, 4};
  } newer{.known = {.struct_size = sizeof(Newer)}};
  ASSERT_EQ(metallic_problem_from_label("rows4_seqk8", &newer.known), METALLIC_OK);
  EXPECT_EQ(newer.known.struct_size, sizeof(Newer));
  EXPECT_EQ(newer.later[0], 1);
  EXPECT_EQ(explain(make_plan(context, newer.known).get())["label"], "rows4_seqk8");
}

TEST_F(CApi, RefusesWrongLabels) {
  metallic_problem problem{.struct_size = sizeof(problem)};
  EXPECT_FAILS(metallic_problem_from_label("rows4_seqx9", &problem), METALLIC_INVALID_ARGUMENT, HasSubstr("rows4_seqx9"),
               HasSubstr("column 6"));
  EXPECT_FAILS(metallic_problem_from_label("conv3x3", &problem), METALLIC_INVALID_ARGUMENT, HasSubstr("conv3x3"));
  EXPECT_FAILS(metallic_problem_from_label("rows4_seqk8..64", &problem), METALLIC_INVALID_ARGUMENT, HasSubstr("4 problems"));
  EXPECT_FAILS(metallic_problem_from_label("batch0_4x4x4", &problem), METALLIC_INVALID_ARGUMENT, HasSubstr("batch 0"));
  EXPECT_FAILS(metallic_problem_from_label(nullptr, &problem), METALLIC_INVALID_ARGUMENT, HasSubstr("label is NULL"));
  EXPECT_FAILS(metallic_problem_from_label("rows4_seqk8", nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("problem is NULL"));
  problem.struct_size = 0;
  EXPECT_FAILS(metallic_problem_from_label("rows4_seqk8", &problem), METALLIC_INVALID_ARGUMENT,
               HasSubstr("problem->struct_size is 0"));
}

TEST_F(CApi, RefusesWrongProblems) {
  const auto context = make_context(options(1));
  const auto create = [&](const metallic_problem& problem) {
    auto* plan = reinterpret_cast<metallic_plan*>(1);
    const metallic_status status = metallic_plan_create(context.get(), &problem, &plan);
    EXPECT_EQ(plan, nullptr);
    return status;
  };
  metallic_problem problem = from_label("rows4_seqk8");
  metallic_plan* plan = nullptr;
  EXPECT_FAILS(metallic_plan_create(nullptr, &problem, &plan), METALLIC_INVALID_ARGUMENT, HasSubstr("context is NULL"));
  EXPECT_FAILS(metallic_plan_create(context.get(), nullptr, &plan), METALLIC_INVALID_ARGUMENT, HasSubstr("problem is NULL"));
  EXPECT_FAILS(metallic_plan_create(context.get(), &problem, nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("plan is NULL"));
  const int seven = 7;
  std::memcpy(&problem.op, &seven, sizeof(seven));
  EXPECT_FAILS(create(problem), METALLIC_INVALID_ARGUMENT, HasSubstr("op is 7"), HasSubstr("METALLIC_MATMUL"));
  problem = from_label("rows4_seqk8");
  std::memcpy(&problem.dtype, &seven, sizeof(seven));
  EXPECT_FAILS(create(problem), METALLIC_INVALID_ARGUMENT, HasSubstr("dtype is 7"));
  problem = from_label("rows4_seqk8");
  problem.in_stride = 7;
  EXPECT_FAILS(create(problem), METALLIC_INVALID_ARGUMENT, HasSubstr("strides"));
  problem = from_label("4x4x4");
  problem.m = -1;
  EXPECT_FAILS(create(problem), METALLIC_INVALID_ARGUMENT, HasSubstr("M -1"));
  problem = from_label("4x4x4");
  problem.batch = INT64_MAX;
  problem.lda = INT64_MAX;
  EXPECT_FAILS(create(problem), METALLIC_OUT_OF_MEMORY, HasSubstr("smaller shape"));
  problem = from_label("4x4x4");
  problem.struct_size = 16;
  EXPECT_FAILS(create(problem), METALLIC_INVALID_ARGUMENT, HasSubstr("problem->struct_size is 16"));
}

TEST_F(CApi, RefusesWrongRuns) {
  const Variable variable("METALLIC_MATMUL_BACKEND", "cpu_gemm");
  const auto context = make_context(options(2));
  const auto plan = make_plan(context.get(), from_label("200x100x150_tb"));
  std::vector<float> a(20000), b(15000), c(30000);
  Scratch scratch(plan.get());
  ASSERT_GT(scratch.bytes(), 0u) << "packing needs memory";
  const auto go = [&](const metallic_tensors& operands, void* workspace, size_t bytes) {
    return metallic_plan_run(plan.get(), &operands, workspace, bytes);
  };
  metallic_tensors good = tensors(a.data(), b.data(), c.data());
  EXPECT_EQ(go(good, scratch.data(), scratch.bytes()), METALLIC_OK);
  EXPECT_FAILS(go(good, scratch.data(), scratch.bytes() - 1), METALLIC_INVALID_ARGUMENT,
               HasSubstr("workspace_bytes is " + std::to_string(scratch.bytes() - 1)),
               HasSubstr(std::to_string(scratch.bytes()) + " are needed"));
  EXPECT_FAILS(go(good, nullptr, scratch.bytes()), METALLIC_INVALID_ARGUMENT, HasSubstr("workspace is NULL"));
  EXPECT_FAILS(go(good, static_cast<char*>(scratch.data()) + 4, scratch.bytes()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("aligned to 64"));
  EXPECT_FAILS(go(tensors(nullptr, b.data(), c.data()), scratch.data(), scratch.bytes()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("tensors->a is NULL, 80000 bytes"));
  EXPECT_FAILS(go(tensors(a.data(), nullptr, c.data()), scratch.data(), scratch.bytes()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("tensors->b is NULL"));
  EXPECT_FAILS(go(tensors(a.data(), b.data(), nullptr), scratch.data(), scratch.bytes()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("tensors->out is NULL"));
  EXPECT_FAILS(go(tensors(c.data(), b.data(), c.data()), scratch.data(), scratch.bytes()), METALLIC_INVALID_ARGUMENT,
               HasSubstr("in place"));
  EXPECT_FAILS(metallic_plan_run(nullptr, &good, nullptr, 0), METALLIC_INVALID_ARGUMENT, HasSubstr("plan is NULL"));
  EXPECT_FAILS(metallic_plan_run(plan.get(), nullptr, nullptr, 0), METALLIC_INVALID_ARGUMENT, HasSubstr("tensors is NULL"));
  good.struct_size = 8;
  EXPECT_FAILS(go(good, scratch.data(), scratch.bytes()), METALLIC_INVALID_ARGUMENT, HasSubstr("tensors->struct_size is 8"));

  metallic_problem strided = from_label("rows4_seqk8");
  strided.out_stride = 9;
  EXPECT_FAILS(run(make_plan(context.get(), strided).get(), tensors(a.data(), nullptr, a.data())), METALLIC_INVALID_ARGUMENT,
               HasSubstr("equal strides"));
}

TEST_F(CApi, RefusesNullElsewhere) {
  const auto context = make_context(options(1));
  const auto plan = make_plan(context.get(), from_label("rows4_seqk8"));
  size_t bytes = 0;
  const char* json = nullptr;
  EXPECT_FAILS(metallic_plan_workspace(nullptr, &bytes), METALLIC_INVALID_ARGUMENT, HasSubstr("plan is NULL"));
  EXPECT_FAILS(metallic_plan_workspace(plan.get(), nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("bytes is NULL"));
  EXPECT_FAILS(metallic_plan_explain(nullptr, &json), METALLIC_INVALID_ARGUMENT, HasSubstr("plan is NULL"));
  EXPECT_FAILS(metallic_plan_explain(plan.get(), nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("json is NULL"));
  metallic_plan_destroy(nullptr);
  metallic_context_destroy(nullptr);
}

TEST_F(CApi, TurnsExceptionsOfCallbacksIntoStatuses) {
  metallic_executor executor{.struct_size = sizeof(executor), .threads = 2};
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  std::vector<float> in(100'000), out(100'000);
  const auto run_with = [&](auto* parallel) {
    executor.parallel = parallel;
    const auto context = make_context(wanted);
    return run(make_plan(context.get(), from_label("rows100_seqk1000")).get(), tensors(in.data(), nullptr, out.data()));
  };
  EXPECT_FAILS(run_with(+[](void*, size_t, void (*)(void*, size_t), void*) { throw std::runtime_error("two\nlines"); }),
               METALLIC_INTERNAL, HasSubstr("two lines"));
  EXPECT_FAILS(run_with(+[](void*, size_t, void (*)(void*, size_t), void*) { throw std::bad_alloc(); }), METALLIC_OUT_OF_MEMORY,
               HasSubstr("out of memory"));
  EXPECT_FAILS(run_with(+[](void*, size_t, void (*)(void*, size_t), void*) { throw 1; }), METALLIC_INTERNAL,
               HasSubstr("unknown type"));
}

TEST_F(CApi, KeepsErrorsPerThread) {
  EXPECT_EQ(metallic_plan_run(nullptr, nullptr, nullptr, 0), METALLIC_INVALID_ARGUMENT);
  std::string elsewhere = "unset";
  std::thread([&] { elsewhere = metallic_last_error(); }).join();
  EXPECT_EQ(elsewhere, "");
  EXPECT_STREQ(metallic_last_error(), "plan is NULL");
}

TEST_F(CApi, NamesStatuses) {
  EXPECT_STREQ(metallic_status_name(METALLIC_OK), "ok");
  EXPECT_STREQ(metallic_status_name(METALLIC_INVALID_ARGUMENT), "invalid_argument");
  EXPECT_STREQ(metallic_status_name(METALLIC_INTERNAL), "internal");
  EXPECT_STREQ(metallic_status_name(static_cast<metallic_status>(7)), "unknown");
}

}  // namespace
}  // namespace metallic
