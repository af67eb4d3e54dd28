// SPDX-License-Identifier: Apache-2.0
// Tests the threads of a run: each task runs once, in any number of threads, however many of them the system refuses.
#include "device/cpu/workers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <thread>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "testing/child_process.h"
#include "testing/refused_threads.h"

namespace metallic::cpu {
namespace {

using testing::HasSubstr;

// How often each of `count` tasks ran.
std::vector<int> runs(Workers& workers, size_t count) {
  std::vector<std::atomic<int>> each(count);
  workers.run(
      count, [](void* context, size_t task) { ++(*static_cast<std::vector<std::atomic<int>>*>(context))[task]; }, &each);
  return {each.begin(), each.end()};
}

TEST(Workers, RunEachTaskOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    Workers workers(threads);
    EXPECT_EQ(workers.threads(), threads);
    EXPECT_EQ(workers.refusal(), 0);
    for (int repeat = 0; repeat < 5; ++repeat)
      for (const size_t count : {0, 1, 2, 3, 7, 8, 9, 1000})
        ASSERT_EQ(runs(workers, count), std::vector<int>(count, 1)) << threads << " threads";
  }
}

TEST(Workers, RunInAThreadOfTheirOwn) {
  Workers workers(2);
  // Two tasks that wait for each other.
  std::atomic<int> arrived = 0;
  workers.run(
      2,
      [](void* context, size_t) {
        auto& arrived = *static_cast<std::atomic<int>*>(context);
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
      },
      &arrived);
  EXPECT_EQ(arrived, 2);
}

TEST(Workers, TakeRunsOfSeveralThreadsInTurn) {
  Workers workers(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat) EXPECT_EQ(runs(workers, 5), std::vector<int>(5, 1));
    });
  for (std::thread& caller : callers) caller.join();
}

TEST(Workers, WakeAfterARest) {
  Workers workers(3);
  for (int repeat = 0; repeat < 100; ++repeat) {
    ASSERT_EQ(runs(workers, 5), std::vector<int>(5, 1));
    workers.rest();
    if (repeat % 10 == 0) usleep(500);
  }
  usleep(2 * Workers::kSpinNs / 1000);  // asleep because nothing comes
  EXPECT_EQ(runs(workers, 5), std::vector<int>(5, 1));
}

TEST(RefusedThreads, LeaveThoseThatStarted) {
  if (!METALLIC_REFUSES_THREADS) GTEST_SKIP();
  for (const int others : {0, 1, 3}) {
    const AllowedThreads allowed(others);
    Workers workers(6);
    EXPECT_EQ(workers.threads(), others + 1);
    EXPECT_EQ(workers.refusal(), EAGAIN);
    for (int repeat = 0; repeat < 20; ++repeat) ASSERT_EQ(runs(workers, 9), std::vector<int>(9, 1));
  }
}

TEST(RefusedThreads, MakeAPoolOfFewer) {
  if (!METALLIC_REFUSES_THREADS || usable_cores() < 2) GTEST_SKIP();
  std::optional<AllowedThreads> allowed(0);
  Pool pool(2);
  EXPECT_EQ(pool.threads(), 1);
  EXPECT_THAT(pool.refusal(), HasSubstr("0 of 1 threads: Resource temporarily unavailable"));
  std::atomic<int> sum = 0;
  pool.parallel(10, [&](size_t task) { sum += static_cast<int>(task); });
  EXPECT_EQ(sum, 45);
  allowed.reset();
  EXPECT_EQ(Pool(2).refusal(), "");
}

int sum_of_tasks(Pool& pool) {
  std::atomic<int> sum = 0;
  pool.parallel(10, [&](size_t task) { sum += static_cast<int>(task); });
  return sum;
}

class ForkedPool : public testing::Test {
 protected:
  void SetUp() override {
    if (!kChildrenMayStartThreads) GTEST_SKIP();
  }
};

TEST_F(ForkedPool, RunsInTheChildAndItsChildren) {
  Pool pool(2);
  EXPECT_EQ(sum_of_tasks(pool), 45);
  EXPECT_TRUE(passes_in_child([&] {
    EXPECT_EQ(sum_of_tasks(pool), 45);
    EXPECT_TRUE(passes_in_child([&] { EXPECT_EQ(sum_of_tasks(pool), 45); }));
    EXPECT_EQ(sum_of_tasks(pool), 45);
  }));
  EXPECT_TRUE(passes_in_child([&] { pool.rest(); }));
  EXPECT_EQ(sum_of_tasks(pool), 45);
}

TEST_F(ForkedPool, MayBeDestroyedInTheChild) {
  for (const bool runs : {false, true}) {
    auto pool = std::make_unique<Pool>(2);
    sum_of_tasks(*pool);
    EXPECT_TRUE(passes_in_child([&] {
      if (runs) sum_of_tasks(*pool);
      pool.reset();
    }));
  }
}

TEST_F(ForkedPool, RunsInSeveralThreadsOfTheChild) {
  Pool pool(2);
  EXPECT_TRUE(passes_in_child([&] {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i) callers.emplace_back([&] { EXPECT_EQ(sum_of_tasks(pool), 45); });
    for (std::thread& caller : callers) caller.join();
  }));
}

// The fork may find the pool's lock taken and its threads at work.
TEST_F(ForkedPool, RunsThoughAnotherThreadOfTheParentDid) {
  Pool pool(2);
  std::atomic<bool> stop = false;
  std::thread other([&] {
    while (!stop) EXPECT_EQ(sum_of_tasks(pool), 45);
  });
  for (int repeat = 0; repeat < 20; ++repeat) EXPECT_TRUE(passes_in_child([&] { EXPECT_EQ(sum_of_tasks(pool), 45); }));
  stop = true;
  other.join();
}

TEST_F(ForkedPool, WorksAloneIfTheChildMayStartNoThread) {
  if (!METALLIC_REFUSES_THREADS) GTEST_SKIP();
  Pool pool(2);
  EXPECT_TRUE(passes_in_child([&] {
    const AllowedThreads none(0);
    for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(sum_of_tasks(pool), 45);
  }));
}

}  // namespace
}  // namespace metallic::cpu
