// SPDX-License-Identifier: Apache-2.0
// Plans through the C interface: those that the context keeps, forced candidates, scratch memory, and runs elsewhere.
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstring>
#include <set>
#include <thread>

#include "ops/label.h"
#include "ops/operation.h"
#include "ops/registry.h"
#include "testing/c_interface.h"

namespace metallic {
namespace {

using testing::HasSubstr;

metallic_plan* acquire(metallic_context* context, const metallic_problem& problem) {
  metallic_plan* plan = nullptr;
  EXPECT_EQ(metallic_plan_acquire(context, &problem, &plan), METALLIC_OK) << metallic_last_error();
  return plan;
}

std::string candidate_of(const metallic_plan* plan) {
  const char* text = nullptr;
  EXPECT_EQ(metallic_plan_candidate(plan, &text), METALLIC_OK);
  return text;
}

TEST_F(CApi, AContextKeepsItsPlans) {
  const auto context = make_context(options(1));
  metallic_plan* const first = acquire(context.get(), from_label("rows4_seqk64"));
  EXPECT_EQ(acquire(context.get(), from_label("rows4_seqk64")), first);
  metallic_problem typed = from_label("rows4_seqk64");
  typed.dtype = METALLIC_BF16;
  metallic_plan* const other = acquire(context.get(), typed);
  EXPECT_NE(other, first);
  metallic_plan* out = first;
  metallic_problem wrong = from_label("rows4_seqk64");
  wrong.in_stride = 3;
  EXPECT_FAILS(metallic_plan_acquire(context.get(), &wrong, &out), METALLIC_INVALID_ARGUMENT, HasSubstr("stride"));
  EXPECT_EQ(out, nullptr);
  EXPECT_FAILS(metallic_plan_acquire(nullptr, &typed, &out), METALLIC_INVALID_ARGUMENT, HasSubstr("context is NULL"));
  metallic_plan_release(first);
  metallic_plan_destroy(first);  // either call gives a plan back
  metallic_plan_release(other);
  metallic_plan_release(nullptr);
}

// Callers compiled with an older header pass a shorter struct.
TEST_F(CApi, OlderStructsFindTheSamePlan) {
  const auto context = make_context(options(1));
  metallic_problem problem = from_label("8x16x4");
  metallic_plan* const now = acquire(context.get(), problem);
  for (const size_t size : {offsetof(metallic_problem, packed), offsetof(metallic_problem, given)}) {
    problem.struct_size = size;
    EXPECT_EQ(acquire(context.get(), problem), now);
    metallic_plan_release(now);
  }
  metallic_plan_release(now);
  problem.struct_size = offsetof(metallic_problem, given);
  EXPECT_FAILS(metallic_problem_from_label("2x2x2_a0_b2", &problem), METALLIC_UNSUPPORTED, HasSubstr("newer header"));
  problem = from_label("8x16x4");
  problem.given = 64;
  metallic_plan* none = nullptr;
  EXPECT_FAILS(metallic_plan_create(context.get(), &problem, &none), METALLIC_INVALID_ARGUMENT, HasSubstr("given is 64"));
}

// Every member that the operation reads makes another plan.
TEST_F(CApi, PlansDifferInEveryMember) {
  const auto context = make_context(options(1));
  const auto differ = [&](const metallic_problem& problem, auto... members) {
    std::set<metallic_plan*> plans = {acquire(context.get(), problem)};
    const auto change = [&](auto member, auto value) {
      metallic_problem changed = problem;
      changed.*member = value;
      plans.insert(acquire(context.get(), changed));
    };
    (change(members.first, members.second), ...);
    EXPECT_EQ(plans.size(), 1 + sizeof...(members));
    for (metallic_plan* const plan : plans) metallic_plan_release(plan);
  };
  using P = metallic_problem;
  const auto to = [](auto member, auto value) { return std::pair(member, value); };
  differ(from_label("batch2_seqq4_seqk64_causal"), to(&P::batch, 3), to(&P::seq_q, 5), to(&P::seq_k, 65), to(&P::causal, 0),
         to(&P::offset, 3), to(&P::scale, 2.0f), to(&P::in_stride, 80), to(&P::out_stride, 80), to(&P::dtype, METALLIC_BF16),
         to(&P::out_dtype, METALLIC_F16));
  differ(from_label("batch2_6x8x10"), to(&P::batch, 3), to(&P::m, 7), to(&P::k, 9), to(&P::n, 11), to(&P::transpose_a, 1),
         to(&P::transpose_b, 1), to(&P::alpha, 2.0f), to(&P::beta, 1.0f), to(&P::lda, 20), to(&P::ldb, 20), to(&P::ldc, 20),
         to(&P::batch_stride_a, 500), to(&P::batch_stride_b, 500), to(&P::batch_stride_c, 500),
         to(&P::given, uint64_t{METALLIC_GIVEN_SCALE}));
  const metallic_strides wide = {4096, 512, 32};
  differ(from_label("batch2_h4kv2_seqq3_seqk5_d16_causal"), to(&P::batch, 3), to(&P::heads, 2), to(&P::kv_heads, 1),
         to(&P::seq_q, 4), to(&P::seq_k, 6), to(&P::head_dim, 8), to(&P::causal, 0), to(&P::offset, 1), to(&P::scale, 2.0f),
         to(&P::q_strides, wide), to(&P::k_strides, wide), to(&P::v_strides, wide), to(&P::out_strides, wide));
}

// Far more shapes than a context keeps. A held plan stays, and so does its result.
TEST_F(CApi, HeldPlansSurviveThousandsOfOthers) {
  const auto context = make_context(options(1));
  metallic_plan* const held = acquire(context.get(), from_label("rows2_seqk4"));
  std::vector<metallic_plan*> many;
  for (int64_t keys = 1; keys <= 4000; ++keys) {
    metallic_problem problem = from_label("rows1_seqk1");
    problem.seq_k = keys;
    many.push_back(acquire(context.get(), problem));
  }
  const std::vector<float> in(8, 1);
  std::vector<float> out(8);
  const metallic_tensors operands = tensors(in.data(), nullptr, out.data());
  EXPECT_EQ(metallic_plan_run(held, &operands, nullptr, 0), METALLIC_OK);
  EXPECT_EQ(out, std::vector<float>(8, 0.25f));
  for (metallic_plan* const plan : many) metallic_plan_release(plan);
  for (int64_t keys = 1; keys <= 4000; ++keys) {
    metallic_problem problem = from_label("rows1_seqk1");
    problem.seq_k = keys + 10000;
    metallic_plan_release(acquire(context.get(), problem));
  }
  EXPECT_EQ(acquire(context.get(), from_label("rows2_seqk4")), held);
  metallic_plan_release(held);
  metallic_plan_release(held);
}

TEST_F(CApi, ThreadsShareTheContextsPlans) {
  const auto context = make_context(options(1));
  constexpr size_t kThreads = 4;
  std::barrier start(kThreads);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int64_t i = 0; i < 2000; ++i) {
        metallic_problem problem = from_label("rows2_seqk1");
        problem.seq_k = (i * 31 + static_cast<int64_t>(thread)) % 1500 + 1;
        metallic_plan* const plan = acquire(context.get(), problem);
        const std::vector<float> in(static_cast<size_t>(2 * problem.seq_k), 0.5f);
        std::vector<float> out(in.size());
        const metallic_tensors operands = tensors(in.data(), nullptr, out.data());
        wrong += metallic_plan_run(plan, &operands, nullptr, 0) != METALLIC_OK;
        wrong += std::abs(out.back() - 1 / static_cast<float>(problem.seq_k)) > 1e-6f;
        metallic_plan_release(plan);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(CApi, PlansHeldBeyondTheirContextStayUsable) {
  std::vector<std::string> lines;
  metallic_context_options wanted = options(1);
  wanted.log_user = &lines;
  wanted.log = [](void* user, const char*, const char* text) { static_cast<std::vector<std::string>*>(user)->push_back(text); };
  auto context = make_context(wanted);
  metallic_plan* const plan = acquire(context.get(), from_label("rows2_seqk4"));
  context.reset();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("held"));
  const std::vector<float> in(8, 1);
  std::vector<float> out(8);
  const metallic_tensors operands = tensors(in.data(), nullptr, out.data());
  EXPECT_EQ(metallic_plan_run(plan, &operands, nullptr, 0), METALLIC_OK);
  metallic_plan_release(plan);
}

TEST_F(CApi, ListsCandidatesAndRunsTheForcedOne) {
  const auto context = make_context(options(2));
  const metallic_problem problem = from_label("33x65x8_tb");
  struct Listed {
    std::string candidate, rejected;
    bool possible;
  };
  std::vector<Listed> all;
  const auto add = [](void* user, const metallic_candidate* candidate) {
    EXPECT_EQ(candidate->struct_size, sizeof(metallic_candidate));
    static_cast<std::vector<Listed>*>(user)->push_back(
        {candidate->candidate, candidate->rejected ? candidate->rejected : "", candidate->possible != 0});
  };
  ASSERT_EQ(metallic_candidates(context.get(), &problem, add, &all), METALLIC_OK) << metallic_last_error();
  EXPECT_EQ(std::ranges::count(all, "", &Listed::rejected), 1);
  const auto plain = make_plan(context.get(), problem);
  EXPECT_EQ(std::ranges::find(all, "", &Listed::rejected)->candidate, candidate_of(plain.get()));

  const Problem inside = *parse_label("33x65x8_tb");
  const auto bytes = operand_bytes(inside);
  const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2);
  size_t forced = 0;
  for (const Listed& each : all) {
    const metallic_plan_options one = {sizeof(one), each.candidate.c_str(), METALLIC_NUMERICS_DEFAULT};
    metallic_plan* made = nullptr;
    ASSERT_EQ(metallic_plan_create_with(context.get(), &problem, &one, &made), METALLIC_OK) << metallic_last_error();
    const PlanHandle plan(made);
    EXPECT_EQ(candidate_of(made) == each.candidate, each.possible) << each.candidate << ": " << candidate_of(made);
    if (!each.possible) continue;
    ++forced;
    EXPECT_EQ(explain(made)["source"], "options");
    std::vector<float> c(static_cast<size_t>(bytes[kOut]) / sizeof(float));
    const metallic_tensors operands = tensors(a.data(), b.data(), c.data());
    ASSERT_EQ(metallic_plan_run(made, &operands, nullptr, 0), METALLIC_OK) << each.candidate << ": " << metallic_last_error();
    EXPECT_FALSE(first_difference(inside, {.in = {a.data(), b.data()}, .out = c.data()}, nullptr)) << each.candidate;
  }
  EXPECT_GE(forced, 3u);

  metallic_plan* made = nullptr;
  const metallic_plan_options wrong = {sizeof(wrong), "cpu_gemm@no=1", METALLIC_NUMERICS_DEFAULT};
  EXPECT_FAILS(metallic_plan_create_with(context.get(), &problem, &wrong, &made), METALLIC_INVALID_ARGUMENT,
               HasSubstr("no such tuning"));
}

TEST_F(CApi, TheEnvironmentForcesATuningToo) {
  const Variant& vec = *find_variant(parse_label("rows1_seqk1")->op(), "cpu_vec");
  const std::string last = to_string(vec, vec.tunings.back());
  const Variable variable("METALLIC_SOFTMAX_VARIANT", last.c_str());
  const auto context = make_context(options(1));
  EXPECT_EQ(candidate_of(make_plan(context.get(), from_label("rows4_seqk64")).get()), last);
  const Variable short_name("METALLIC_SOFTMAX_VARIANT", ("vec" + last.substr(last.find('@'))).c_str());
  const auto by_short_name = make_context(options(1));
  EXPECT_EQ(candidate_of(make_plan(by_short_name.get(), from_label("rows4_seqk64")).get()), last);
  const Variable wrong("METALLIC_SOFTMAX_VARIANT", "vec@unroll=no");
  const metallic_context_options wanted = options(1);
  metallic_context* none = nullptr;
  EXPECT_FAILS(metallic_context_create(&wanted, &none), METALLIC_INVALID_ARGUMENT, HasSubstr("METALLIC_SOFTMAX_VARIANT"),
               HasSubstr("no such tuning"));
}

TEST_F(CApi, AZeroedProblemIsAPlainOne) {
  const auto context = make_context(options(1));
  metallic_problem problem{.struct_size = sizeof(problem), .op = METALLIC_MATMUL};
  problem.m = problem.k = problem.n = 2;
  const std::vector<float> a = {1, 2, 3, 4}, b = {5, 6, 7, 8};
  const auto result = [&](const metallic_problem& of) {
    std::vector<float> c = {100, 100, 100, 100};
    const auto plan = make_plan(context.get(), of);
    const metallic_tensors operands = tensors(a.data(), b.data(), c.data());
    EXPECT_EQ(metallic_plan_run(plan.get(), &operands, nullptr, 0), METALLIC_OK) << metallic_last_error();
    return c;
  };
  EXPECT_EQ(result(problem), (std::vector<float>{19, 22, 43, 50}));
  problem.beta = 0.5f;
  problem.given = METALLIC_GIVEN_ALPHA;
  EXPECT_EQ(result(problem), std::vector<float>(4, 50)) << "alpha is 0, and meant to be";
  EXPECT_EQ(from_label("2x2x2_a0_b2").given, uint64_t{METALLIC_GIVEN_ALPHA});

  metallic_problem softmax = from_label("rows2_seqk4");
  softmax.given = METALLIC_GIVEN_SCALE;
  metallic_plan* plan = nullptr;
  EXPECT_FAILS(metallic_plan_create(context.get(), &softmax, &plan), METALLIC_INVALID_ARGUMENT, HasSubstr("scale"));
}

TEST_F(CApi, ABatchMayShareItsWeightsButNotItsOutput) {
  const auto context = make_context(options(2));
  metallic_problem problem = from_label("batch3_2x2x2");
  problem.given = METALLIC_GIVEN_STRIDES;
  problem.lda = problem.ldb = problem.ldc = 2;
  problem.batch_stride_a = problem.batch_stride_c = 4;
  const std::vector<float> a = {1, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 3}, b = {1, 2, 3, 4};
  std::vector<float> c(12);
  const auto plan = make_plan(context.get(), problem);
  const metallic_tensors operands = tensors(a.data(), b.data(), c.data());
  ASSERT_EQ(metallic_plan_run(plan.get(), &operands, nullptr, 0), METALLIC_OK) << metallic_last_error();
  EXPECT_EQ(c, (std::vector<float>{1, 2, 3, 4, 2, 4, 6, 8, 3, 6, 9, 12}));
  problem.batch_stride_c = 0;
  metallic_plan* none = nullptr;
  EXPECT_FAILS(metallic_plan_create(context.get(), &problem, &none), METALLIC_INVALID_ARGUMENT, HasSubstr("batch_stride_c is 0"));
}

// A task that runs a plan itself, as a work-stealing executor may: its scratch memory is not that of the run around it.
TEST_F(CApi, RunsWithinRunsHaveScratchMemoryOfTheirOwn) {
  const Variable variable("METALLIC_MATMUL_BACKEND", "cpu_gemm");
  struct Nesting {
    metallic_plan* inner = nullptr;
    metallic_tensors operands{};
    int depth = 0, failures = 0;
  } nesting;
  const metallic_executor executor = {
      sizeof(metallic_executor), &nesting, 2, [](void* user, size_t count, void (*task)(void*, size_t), void* context) {
        auto& state = *static_cast<Nesting*>(user);
        for (size_t i = 0; i < count; ++i) {
          if (state.depth == 0 && state.inner) {
            ++state.depth;
            state.failures += metallic_plan_run(state.inner, &state.operands, nullptr, 0) != METALLIC_OK;
            --state.depth;
          }
          task(context, i);
        }
      }};
  metallic_context_options wanted = options(0);
  wanted.executor = &executor;
  const auto context = make_context(wanted);
  const std::string label = "192x256x192_tb";
  const Problem problem = *parse_label(label);
  const auto bytes = operand_bytes(problem);
  const auto a = random_floats(bytes[0], 1), b = random_floats(bytes[1], 2), other = random_floats(bytes[0], 3);
  std::vector<float> c(static_cast<size_t>(bytes[kOut]) / sizeof(float)), inner(c.size());
  const auto plan = make_plan(context.get(), from_label(label)), inner_plan = make_plan(context.get(), from_label(label));
  size_t scratch = 0;
  ASSERT_EQ(metallic_plan_workspace(plan.get(), &scratch), METALLIC_OK);
  ASSERT_GT(scratch, 0u);
  nesting.operands = tensors(other.data(), b.data(), inner.data());
  nesting.inner = inner_plan.get();
  const metallic_tensors operands = tensors(a.data(), b.data(), c.data());
  ASSERT_EQ(metallic_plan_run(plan.get(), &operands, nullptr, 0), METALLIC_OK);
  EXPECT_EQ(nesting.failures, 0);
  EXPECT_FALSE(first_difference(problem, {.in = {a.data(), b.data()}, .out = c.data()}, nullptr));
  EXPECT_FALSE(first_difference(problem, {.in = {other.data(), b.data()}, .out = inner.data()}, nullptr));
}

TEST_F(CApi, ARunMayGoToAnotherExecutor) {
  const auto context = make_context(options(2));
  const auto plan = make_plan(context.get(), from_label("rows512_seqk4096"));
  const auto in = random_floats(512 * 4096 * sizeof(float), 1);
  std::vector<float> here(in.size()), there(in.size());
  metallic_tensors operands = tensors(in.data(), nullptr, here.data());
  ASSERT_EQ(metallic_plan_run_with(plan.get(), &operands, nullptr), METALLIC_OK);
  Counting counting;
  const metallic_executor executor = counting.as_executor(1);
  metallic_run_options elsewhere{.struct_size = sizeof(elsewhere), .executor = &executor};
  operands.out = there.data();
  ASSERT_EQ(metallic_plan_run_with(plan.get(), &operands, &elsewhere), METALLIC_OK) << metallic_last_error();
  EXPECT_GT(counting.tasks, 0u);
  EXPECT_EQ(here, there);
  int queue = 0;
  elsewhere = {.struct_size = sizeof(elsewhere), .stream = &queue};
  EXPECT_FAILS(metallic_plan_run_with(plan.get(), &operands, &elsewhere), METALLIC_INVALID_ARGUMENT, HasSubstr("stream"));
  elsewhere = {.struct_size = 8};
  EXPECT_FAILS(metallic_plan_run_with(plan.get(), &operands, &elsewhere), METALLIC_INVALID_ARGUMENT, HasSubstr("struct_size"));
}

}  // namespace
}  // namespace metallic
