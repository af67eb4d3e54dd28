// SPDX-License-Identifier: Apache-2.0
// Runs part of a test in a forked child.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace metallic {

// ThreadSanitizer mistakes threads that a child starts for those of its parent.
#if defined(__SANITIZE_THREAD__)
constexpr bool kChildrenMayStartThreads = false;
#else
constexpr bool kChildrenMayStartThreads = true;
#endif

// Whether `child` passed: it ended within ten seconds, died by no signal and expected nothing in vain.
template <typename Child>
testing::AssertionResult passes_in_child(const Child& child) {
  const pid_t process = fork();
  if (process == 0) {
    alarm(10);
    child();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(process, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return testing::AssertionSuccess();
  if (WIFSIGNALED(status)) return testing::AssertionFailure() << "the child died by signal " << WTERMSIG(status);
  return testing::AssertionFailure() << "the child's expectations failed";
}

}  // namespace metallic
