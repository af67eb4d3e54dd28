// SPDX-License-Identifier: Apache-2.0
// The plan cache: what it tells apart, what it replaces, and several threads that acquire, insert and release.
#include "dispatch/plan_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <set>
#include <thread>
#include <vector>

#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

// A value that says which problem it belongs to, and how many exist.
struct Value {
  explicit Value(int64_t number) : number(number) { ++alive; }
  ~Value() {
    --alive;
    number = -1;
  }
  std::atomic<int64_t> number;
  static inline std::atomic<int> alive = 0;
};

// A problem as a C caller describes it.
struct Key {
  CKey words;
  Key() = default;
  Key(const Problem& problem) : words(problem.op()->c_key(as_c(problem))) {}
  uint64_t hash() const { return words.hash(); }
  bool operator==(const Key&) const = default;

  static metallic_problem as_c(const Problem& problem) {
    metallic_problem filled = problem.op()->to_c(problem);
    filled.dtype = static_cast<metallic_dtype>(static_cast<int>(problem.dtype) + METALLIC_F32);
    filled.out_dtype = static_cast<metallic_dtype>(static_cast<int>(problem.out_dtype) + METALLIC_F32);
    return filled;
  }
};

using Cache = PlanCache<Key, Value>;

Problem problem_of(int64_t number) { return softmax_problem(number + 1, 64); }

Cache::Place* put(Cache& cache, const Problem& problem, int64_t number) {
  auto value = std::make_unique<Value>(number);
  return cache.insert(problem, value, [](Value&, Cache::Place&) {});
}

Cache::Place* put(Cache& cache, int64_t number) { return put(cache, problem_of(number), number); }

TEST(PlanCache, TellsProblemsApart) {
  Cache cache;
  const Problem problem = softmax_problem(4, 64);
  EXPECT_EQ(cache.acquire(problem), nullptr);
  Cache::Place* const place = put(cache, problem, 1);
  EXPECT_EQ(cache.acquire(problem), place);
  EXPECT_EQ(put(cache, problem, 2), place) << "the first stays";
  EXPECT_EQ(place->value().number, 1);
  for (const Problem& typed : {with_dtype(problem, DType::f16), with_dtype(problem, DType::bf16)})
    EXPECT_EQ(cache.acquire(typed), nullptr);
  Problem other = problem;
  other.out_dtype = DType::bf16;
  EXPECT_EQ(cache.acquire(other), nullptr);
  EXPECT_EQ(cache.acquire(matmul_problem(1, 4, 64)), nullptr);
  EXPECT_TRUE(cache.any_held());
  for (int held = 0; held < 3; ++held) Cache::release(*place);
  EXPECT_FALSE(cache.any_held());
}

TEST(PlanCache, IsBoundedAndKeepsWhatIsHeld) {
  {
    Cache cache(64);
    Cache::Place* const held = put(cache, 0);
    for (int64_t number = 1; number < 5000; ++number)
      if (Cache::Place* const place = put(cache, number)) Cache::release(*place);
    EXPECT_LE(Value::alive, 64);
    EXPECT_EQ(held->value().number, 0);
    EXPECT_EQ(cache.acquire(problem_of(0)), held);
  }
  EXPECT_EQ(Value::alive, 0);
}

TEST(PlanCache, LeavesAValueWhereAllPlacesAreHeld) {
  Cache cache(Cache::kWays);  // one set
  for (int64_t number = 0; number < static_cast<int64_t>(Cache::kWays); ++number) EXPECT_NE(put(cache, number), nullptr);
  auto value = std::make_unique<Value>(100);
  EXPECT_EQ(cache.insert(problem_of(100), value, [](Value&, Cache::Place&) {}), nullptr);
  ASSERT_TRUE(value);
  Cache::release(*cache.acquire(problem_of(3)));
  Cache::release(*cache.acquire(problem_of(3)));
  Cache::release(*cache.acquire(problem_of(3)));
  Cache::Place* const three = cache.acquire(problem_of(3));
  Cache::release(*three);
  Cache::release(*three);  // the first holder's
  EXPECT_EQ(cache.insert(problem_of(100), value, [](Value&, Cache::Place&) {}), three) << "the only place that is free";
  EXPECT_EQ(cache.acquire(problem_of(3)), nullptr);
}

TEST(PlanCache, ReplacesWhatWasNotFoundLately) {
  Cache cache(Cache::kWays);
  constexpr auto kMost = static_cast<int64_t>(Cache::kWays);
  for (int64_t number = 0; number < kMost; ++number) Cache::release(*put(cache, number));
  for (int64_t number = 0; number < kMost; ++number)
    if (number != 5) Cache::release(*cache.acquire(problem_of(number)));
  Cache::release(*put(cache, kMost));
  EXPECT_EQ(cache.acquire(problem_of(5)), nullptr);
}

// A small cache, so that threads replace what others look for. A held value must be its problem's.
TEST(PlanCache, ThreadsNeverSeeAReplacedValue) {
  constexpr int64_t kThreads = 4, kRounds = 20000, kProblems = 40;
  Cache cache(16);
  std::barrier start(kThreads);
  std::atomic<int64_t> wrong = 0, found = 0;
  std::vector<std::thread> threads;
  for (int64_t thread = 0; thread < kThreads; ++thread)
    threads.emplace_back([&, thread] {
      start.arrive_and_wait();
      for (int64_t i = 0; i < kRounds; ++i) {
        const int64_t number = (i * 7 + thread * 3) % kProblems;
        Cache::Place* place = cache.acquire(problem_of(number));
        found += place != nullptr;
        if (!place) place = put(cache, number);
        if (!place) continue;
        wrong += place->value().number != number;
        Cache::release(*place);
      }
    });
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(found, 0);
  EXPECT_FALSE(cache.any_held());
}

}  // namespace
}  // namespace metallic
