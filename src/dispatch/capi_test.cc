// SPDX-License-Identifier: Apache-2.0
// The C interface from outside: results, every error's status and message, executors.
#include <cstring>
#include <filesystem>
#include <thread>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"
#include "testing/c_interface.h"

namespace metallic {
namespace {

using testing::AllOf;
using testing::HasSubstr;

size_t threads_of_this_process() {
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

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
  auto& s = problem.as<MatmulShape>();
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

TEST_F(CApi, PlansKeepTheThreadsOfTheirContext) {
  auto context = make_context(options(3));
  const Problem problem = softmax_problem(600, 1000);
  const auto plan = make_plan(context.get(), from_label("rows600_seqk1000")),
             other = make_plan(context.get(), from_label("4x4x4"));
  context.reset();
  const auto in = random_floats(operand_bytes(problem)[0], 5);
  std::vector<float> out(in.size());
  ASSERT_EQ(run(plan.get(), tensors(in.data(), nullptr, out.data())), METALLIC_OK) << metallic_last_error();
  EXPECT_EQ(first_difference(problem, {.in = {in.data()}, .out = out.data()}, nullptr, 32), std::nullopt);
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

TEST_F(CApi, RefusesWrongContexts) {
  const auto create = [](const metallic_context_options& wanted) {
    auto* context = reinterpret_cast<metallic_context*>(1);
    const metallic_status status = metallic_context_create(&wanted, &context);
    EXPECT_EQ(context, nullptr);
    return status;
  };
  metallic_context_options wanted = options(1);
  EXPECT_FAILS(metallic_context_create(&wanted, nullptr), METALLIC_INVALID_ARGUMENT, HasSubstr("context is NULL"));
  for (const size_t size : {size_t{0}, sizeof(void*), offsetof(metallic_context_options, device) - 1}) {
    wanted.struct_size = size;
    EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("options->struct_size is " + std::to_string(size)),
                 HasSubstr("sizeof(metallic_context_options)"));
  }
  EXPECT_FAILS(create(options(-1)), METALLIC_INVALID_ARGUMENT, HasSubstr("threads is -1"));
  wanted = options(1);
  wanted.model = "../x";
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("../x"));

  wanted = options(1);
  wanted.device = "cuda:99";
  EXPECT_FAILS(create(wanted), METALLIC_NOT_FOUND, HasSubstr("cuda:99"), HasSubstr("this machine has: cpu"));
  wanted = options(1);
  int queue = 0;
  wanted.stream = &queue;
  EXPECT_FAILS(create(wanted), METALLIC_INVALID_ARGUMENT, HasSubstr("device cpu has no stream"));

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

TEST_F(CApi, NumericsAreTheContexts) {
  const auto chosen = [](metallic_numerics numerics) {
    metallic_context_options wanted = options(1);
    wanted.numerics = numerics;
    return explain(make_plan(make_context(wanted).get(), from_label("rows4_seqk5000")).get());
  };
  EXPECT_EQ(chosen(METALLIC_FAST)["variant"], "cpu_block");
  EXPECT_EQ(chosen(METALLIC_RUN_TO_RUN)["variant"], "cpu_block");
  const auto invariant = chosen(METALLIC_BATCH_INVARIANT);
  EXPECT_EQ(invariant["variant"], "cpu_vec");
  EXPECT_THAT(invariant["candidates"].dump(), HasSubstr("batch_invariant: sums in another order"));
  {
    const Variable variable("METALLIC_DETERMINISM", "batch_invariant");
    EXPECT_EQ(chosen(METALLIC_NUMERICS_DEFAULT)["variant"], "cpu_vec");
    EXPECT_EQ(chosen(METALLIC_FAST)["variant"], "cpu_block") << "what the call says, not the environment";
  }
  metallic_context_options wanted = options(1);
  const int four = 4;
  std::memcpy(&wanted.numerics, &four, sizeof(four));
  metallic_context* context = nullptr;
  EXPECT_FAILS(metallic_context_create(&wanted, &context), METALLIC_INVALID_ARGUMENT, HasSubstr("numerics is 4"),
               HasSubstr("METALLIC_BATCH_INVARIANT"));
}

TEST_F(CApi, SaysItsVersion) {
  EXPECT_EQ(metallic_version(), fmt::format("{}.{}.{}", METALLIC_VERSION_MAJOR, METALLIC_VERSION_MINOR, METALLIC_VERSION_PATCH));
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
