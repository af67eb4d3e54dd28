// SPDX-License-Identifier: Apache-2.0
// Tests that a forked child notices that it is one, and that it can take the locks of its parent's threads.
#include "base/process.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <thread>
#include <vector>

namespace metallic {
namespace {

// Whether `child` returned true in a forked process within ten seconds.
template <typename Child>
bool in_child(pid_t process, const Child& child) {
  if (process == 0) {
    alarm(10);
    _exit(child() ? 0 : 1);
  }
  int status = 0;
  waitpid(process, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(ProcessGeneration, DiffersInChildrenAlone) {
  const uint32_t here = process_generation();
  EXPECT_NE(here, 0u);
  std::thread([&] { EXPECT_EQ(process_generation(), here); }).join();
  const auto differs = [&] {
    const uint32_t child = process_generation();
    if (child == here || child == 0 || child != process_generation()) return false;
    return in_child(fork(), [&] { return process_generation() != here && process_generation() != child; });
  };
  EXPECT_TRUE(in_child(fork(), differs));
  EXPECT_EQ(process_generation(), here);
#if defined(SYS_clone) && defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  // Without the C library's handlers, as _Fork does.
  EXPECT_TRUE(in_child(static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0)), differs));
#endif
}

TEST(ForkSafeMutex, Excludes) {
  ForkSafeMutex mutex;
  int count = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int repeat = 0; repeat < 10000; ++repeat) {
        const std::lock_guard lock(mutex);
        ++count;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 40000);
}

TEST(ForkSafeMutex, IsFreeInAChild) {
  ForkSafeMutex mutex;
  mutex.lock();
  EXPECT_TRUE(in_child(fork(), [&] {
    const std::lock_guard first(mutex);
    return true;
  }));
  mutex.unlock();
}

}  // namespace
}  // namespace metallic
