// SPDX-License-Identifier: Apache-2.0
// The plan cache while it is filled by several threads, and as it grows.
#include "dispatch/plan_cache.h"

#include <gtest/gtest.h>

#include <barrier>
#include <set>
#include <thread>
#include <vector>

#include "dispatch/context.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

Plan plan_of(const Problem& problem) { return {.decision = {.problem = problem}, .kernel = nullptr}; }

TEST(PlanCache, TellsProblemsApartByAllButThreads) {
  PlanCache cache;
  const Problem problem = softmax_problem(4, 64);
  EXPECT_EQ(cache.find(problem), nullptr);
  const Plan& kept = cache.insert(problem, plan_of(problem));
  EXPECT_EQ(cache.find(problem), &kept);
  EXPECT_EQ(&cache.insert(problem, plan_of(problem)), &kept) << "the first stays";
  Problem other = problem;
  other.threads = 7;
  EXPECT_EQ(cache.find(other), &kept);
  other = problem;
  other.as<SoftmaxShape>().out_stride = 128;  // no part of the hash
  EXPECT_EQ(cache.find(other), nullptr);
  other = problem;
  other.as<SoftmaxShape>().scale = 0.5f;
  EXPECT_EQ(cache.find(other), nullptr);
  for (const Problem& typed : {with_dtype(problem, DType::f16), with_dtype(problem, DType::bf16)})
    EXPECT_EQ(cache.find(typed), nullptr);
  other = problem;
  other.out_dtype = DType::bf16;
  EXPECT_EQ(cache.find(other), nullptr);
  EXPECT_EQ(cache.find(matmul_problem(1, 4, 64)), nullptr);
}

TEST(PlanCache, PlansStayWhereTheyAreWhileItGrows) {
  PlanCache cache;
  std::vector<const Plan*> plans;
  for (int64_t n = 1; n <= 5000; ++n) plans.push_back(&cache.insert(matmul_problem(n, 2 * n, 3), plan_of(softmax_problem(n, n))));
  EXPECT_EQ(std::set(plans.begin(), plans.end()).size(), plans.size());
  for (int64_t n = 1; n <= 5000; ++n) {
    ASSERT_EQ(cache.find(matmul_problem(n, 2 * n, 3)), plans[static_cast<size_t>(n - 1)]) << n;
    ASSERT_EQ(cache.find(matmul_problem(n, 2 * n, 4)), nullptr) << n;
    ASSERT_EQ(plans[static_cast<size_t>(n - 1)]->decision.problem, softmax_problem(n, n)) << "the plan it was kept with";
  }
}

// Every thread inserts all problems, each beginning elsewhere, and looks up the others' meanwhile.
TEST(PlanCache, ThreadsAgreeOnOnePlanForEachProblem) {
  constexpr size_t kThreads = 4, kProblems = 600;
  PlanCache cache;
  std::barrier start(kThreads);
  std::vector<std::vector<const Plan*>> seen(kThreads, std::vector<const Plan*>(kProblems));
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (size_t i = 0; i < kProblems; ++i) {
        const size_t at = (i + thread * kProblems / kThreads) % kProblems;
        const Problem problem = softmax_problem(static_cast<int64_t>(at), 64);
        const Plan* found = cache.find(problem);
        seen[thread][at] = found ? found : &cache.insert(problem, plan_of(problem));
        const Problem other = softmax_problem(static_cast<int64_t>(i), 64);
        const Plan* others = cache.find(other);
        EXPECT_TRUE(!others || others->decision.problem == other);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t thread = 1; thread < kThreads; ++thread) EXPECT_EQ(seen[thread], seen[0]);
}

std::unique_ptr<Context> make_context(std::string variant) {
  const Lookup lookup = [=](std::string_view name) -> std::optional<std::string> {
    return name == "METALLIC_SOFTMAX_VARIANT" ? std::optional(variant) : std::nullopt;
  };
  auto made = Context::create({.threads = 1, .environment = lookup});
  EXPECT_TRUE(made) << made.error().message;
  return std::move(*made);
}

TEST(Context, PlannersOfSeveralThreadsGetEqualPlans) {
  const auto context = make_context("auto");
  const std::vector<Problem> problems = *parse_labels("rows1..64_seqk1..512");
  std::vector<std::vector<const Plan*>> seen(3);
  std::vector<std::vector<const Variant*>> chosen(seen.size());
  std::barrier start(static_cast<std::ptrdiff_t>(seen.size()));
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < seen.size(); ++thread)
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (const Problem& problem : problems) {
        chosen[thread].push_back(context->choose(problem)->variant);
        seen[thread].push_back(*context->cached_plan(problem));
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < problems.size(); ++i)
    for (size_t thread = 0; thread < seen.size(); ++thread) {
      EXPECT_EQ(seen[thread][i], seen[0][i]);
      EXPECT_EQ(chosen[thread][i], seen[0][i]->decision.variant) << label(problems[i]);
    }
}

TEST(Context, TwoContextsKeepPlansOfTheirOwn) {
  const auto vec = make_context("vec"), block = make_context("block");
  const Problem problem = softmax_problem(4, 64);
  EXPECT_EQ((*vec->cached_plan(problem))->decision.variant->name, "cpu_vec");
  EXPECT_EQ((*block->cached_plan(problem))->decision.variant->name, "cpu_block");
  EXPECT_EQ((*vec->cached_plan(problem))->decision.variant->name, "cpu_vec");
  EXPECT_EQ(vec->choose(problem)->variant->name, "cpu_vec");
  EXPECT_EQ(block->choose(problem)->variant->name, "cpu_block");
}

}  // namespace
}  // namespace metallic
