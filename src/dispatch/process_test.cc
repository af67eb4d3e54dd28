// SPDX-License-Identifier: Apache-2.0
// What a process may do to the library: fork, refuse threads, and deny AMX.
#include <csignal>
#include <mutex>
#include <thread>

#include "device/cpu/amx.h"
#include "device/cpu/cpu_info.h"
#include "dispatch/context.h"
#include "ops/label.h"
#include "testing/c_interface.h"
#include "testing/child_process.h"
#include "testing/refused_threads.h"

namespace metallic {
namespace {

using testing::HasSubstr;

// A plan of several tasks and what it computes.
class Forked : public CApi {
 protected:
  static constexpr const char* kLabel = "rows500_seqk1000";
  Forked() : in_(random_floats(500 * 1000 * 4, 1)), expected_(in_.size()) {}
  void SetUp() override {
    if (!kChildrenMayStartThreads) GTEST_SKIP();
  }

  void expect_right(const metallic_plan* plan) const {
    std::vector<float> out(in_.size());
    EXPECT_EQ(run(plan, tensors(in_.data(), nullptr, out.data())), METALLIC_OK) << metallic_last_error();
    EXPECT_EQ(out, expected_);
  }
  void expect_plan(const metallic_plan* plan) {
    EXPECT_EQ(run(plan, tensors(in_.data(), nullptr, expected_.data())), METALLIC_OK) << metallic_last_error();
  }

  std::vector<float> in_, expected_;
};

TEST_F(Forked, PlansAndContextsOfTheParentWork) {
  auto context = make_context(options(2));
  const auto plan = make_plan(context.get(), from_label(kLabel)), other = make_plan(context.get(), from_label(kLabel));
  EXPECT_TRUE(passes_in_child([&] {
    expect_plan(other.get());
    expect_right(plan.get());
  })) << "before the first run";
  expect_plan(plan.get());
  EXPECT_TRUE(passes_in_child([&] { expect_right(plan.get()); }));
  EXPECT_TRUE(passes_in_child([&] { expect_right(make_plan(context.get(), from_label(kLabel)).get()); }));
  EXPECT_TRUE(passes_in_child([&] { expect_right(make_plan(make_context(options(2)).get(), from_label(kLabel)).get()); }));
  EXPECT_TRUE(passes_in_child([&] {
    expect_right(plan.get());
    context.reset();
  }));
  EXPECT_TRUE(passes_in_child([&] { context.reset(); }));
  expect_right(plan.get());
}

TEST_F(Forked, DaemonsMayRun) {
  const auto context = make_context(options(2));
  const auto plan = make_plan(context.get(), from_label(kLabel));
  expect_plan(plan.get());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_TRUE(passes_in_child([&] {
    // daemon() forks once more and ends this process, so the daemon tells by the pipe.
    if (daemon(/*nochdir=*/1, /*noclose=*/1) != 0) return;
    alarm(10);
    expect_right(plan.get());
    const char passed = HasFailure() ? 'n' : 'y';
    EXPECT_EQ(write(ends[1], &passed, 1), 1);
  }));
  close(ends[1]);
  char passed = 'n';
  EXPECT_EQ(read(ends[0], &passed, 1), 1);
  EXPECT_EQ(passed, 'y');
  close(ends[0]);
}

TEST_F(Forked, RunsAndPlansInOtherThreadsDoNotMatter) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer's allocator may be locked in the child of a process whose other threads allocate";
#endif
  std::atomic<bool> stop = false;
  const auto context = make_context(options(2));
  const auto plan = make_plan(context.get(), from_label(kLabel));
  expect_plan(plan.get());
  std::vector<std::thread> others;
  others.emplace_back([&] {
    while (!stop) expect_right(plan.get());
  });
  others.emplace_back([&] {
    while (!stop) make_plan(context.get(), from_label(kLabel));
  });
  for (int repeat = 0; repeat < 10; ++repeat)
    EXPECT_TRUE(passes_in_child([&] {
      expect_right(plan.get());
      expect_right(make_plan(context.get(), from_label(kLabel)).get());
    }));
  stop = true;
  for (std::thread& other : others) other.join();
}

// A thread that waits in the caller's log function holds the logger at the fork.
TEST_F(Forked, TheLoggerIsFree) {
  static std::mutex blocked;
  static std::atomic<bool> in_log;
  in_log = false;
  Logger logger(LogLevel::info, [](std::string_view, std::string_view text) {
    if (text != "wait") return;
    in_log = true;
    const std::lock_guard lock(blocked);
  });
  std::thread other;
  {
    const std::lock_guard lock(blocked);
    other = std::thread([&] { logger.warn("wait"); });
    while (!in_log) std::this_thread::yield();
    EXPECT_TRUE(passes_in_child([&] { logger.warn("go on"); }));
  }
  other.join();
}

TEST(RefusedThreads, CostAWarning) {
  if (!METALLIC_REFUSES_THREADS || cpu::usable_cores() < 2) GTEST_SKIP();
  std::vector<std::string> warnings;
  const AllowedThreads none(0);
  const auto context = Context::create({.threads = 2,
                                        .environment = [](std::string_view) { return std::nullopt; },
                                        .log = [&](std::string_view, std::string_view text) { warnings.emplace_back(text); }});
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ((*context)->threads(), 1);
  EXPECT_THAT(warnings, testing::Contains(HasSubstr("start 0 of 1 threads: Resource temporarily unavailable: plans use 1")));
  const auto plan = (*context)->plan(*parse_label("rows500_seqk1000"));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->problem.threads, 1);
}

class AmxPermission : public CApi {
 protected:
  static bool may_have_small_stack() {
    static std::vector<char> stack(8192);
    const stack_t small{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
    return sigaltstack(&small, nullptr) == 0;
  }
  static PlanHandle bf16_plan(const char* label) {
    metallic_problem problem = from_label(label);
    problem.dtype = problem.out_dtype = METALLIC_BF16;
    return make_plan(make_context(options(1)).get(), problem);
  }
  // Another test of this program may have asked; a child that is a new program has not.
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    if (!cpu::has_amx()) GTEST_SKIP() << "no AMX here";
  }
  const Variable force_{"METALLIC_MATMUL_BACKEND", "cpu_gemm_amx"};
};

TEST_F(AmxPermission, IsAskedForByItsKernelAlone) {
  EXPECT_EXIT(
      {
        make_plan(make_context(options(1)).get(), from_label("100x200x300_tb"));
        make_plan(make_context(options(1)).get(), from_label("rows5_seqk70"));
        _exit(may_have_small_stack() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      {
        const bool chosen = explain(bf16_plan("100x200x300_tb").get())["variant"] == "cpu_gemm_amx";
        _exit(chosen && !may_have_small_stack() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(AmxPermission, IfDeniedLetsAnotherKernelRun) {
  EXPECT_EXIT(
      {
        if (!may_have_small_stack()) _exit(2);
        for (const char* label : {"100x200x300_tb", "64x64x64"}) {
          const auto explained = explain(bf16_plan(label).get());
          if (explained["variant"] == "cpu_gemm_amx") _exit(3);
          if (explained.dump().find("Linux denies this process AMX tiles: the alternate signal stack") == std::string::npos)
            _exit(4);
        }
        _exit(HasFailure() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "cpu_gemm_amx: Linux denies");
}

}  // namespace
}  // namespace metallic
