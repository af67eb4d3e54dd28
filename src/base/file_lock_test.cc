// SPDX-License-Identifier: Apache-2.0
// FileLock excludes threads and processes, ends with its holder, and gives up where it should.
#include "base/file_lock.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <optional>
#include <thread>
#include <vector>

#include "base/file.h"

namespace {

int flock_error = 0;  // what flock fails with; 0: it works

}  // namespace

// Takes the place of the C library's, as no file system without locks is at hand.
extern "C" int flock(int file, int operation) noexcept(noexcept(::flock(0, 0))) {
  if (flock_error != 0) {
    errno = flock_error;
    return -1;
  }
  static const auto real = reinterpret_cast<int (*)(int, int)>(dlsym(RTLD_NEXT, "flock"));
  return real(file, operation);
}

namespace metallic {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

class FileLockTest : public testing::Test {
 protected:
  FileLockTest() {
    std::string name = (fs::temp_directory_path() / "metallic_file_lock_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
    file_ = root_ / "deep/file";
    lock_ = root_ / "deep/.file.lock";
  }
  ~FileLockTest() override {
    flock_error = 0;
    fs::remove_all(root_);
  }
  // The error of an attempt to lock; empty if it worked.
  std::string refusal(milliseconds patience = milliseconds(20)) const {
    const auto lock = FileLock::take(file_, patience);
    return lock ? "" : lock.error().message;
  }
  // Starts a process that calls `f` and then waits for its end.
  template <typename F>
  static pid_t fork_and_stay(F f) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      [[maybe_unused]] const auto kept = f();
      if (write(ready[1], "!", 1) == 1) pause();
      _exit(0);
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]), close(ready[1]);
    return child;
  }
  static void kill_and_wait(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }

  fs::path root_, file_, lock_;
};

TEST_F(FileLockTest, ExcludesThreads) {
  std::atomic<int> count = 0;  // its increments below are not atomic
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto lock = FileLock::take(file_);
        ASSERT_TRUE(lock) << lock.error().message;
        const int seen = count;
        std::this_thread::yield();
        count = seen + 1;
      }
    });
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(count, 200);
  EXPECT_TRUE(fs::is_empty(root_ / "deep")) << "the lock file is gone";
}

TEST_F(FileLockTest, GivesUpAndNamesTheFile) {
  const auto held = FileLock::take(file_);
  ASSERT_TRUE(held);
  EXPECT_NE(refusal().find(lock_.native()), std::string::npos) << refusal();
  EXPECT_NE(refusal().find("waited 0.02 s"), std::string::npos) << refusal();
  EXPECT_TRUE(fs::exists(lock_)) << "the one who gave up must not delete it";
}

TEST_F(FileLockTest, EndsWithItsHolder) {
  const pid_t child = fork_and_stay([&] { return FileLock::take(file_); });
  EXPECT_NE(refusal(), "");
  kill_and_wait(child);
  EXPECT_TRUE(fs::exists(lock_)) << "the killed process left it";
  EXPECT_EQ(refusal(), "");
  EXPECT_FALSE(fs::exists(lock_));
}

TEST_F(FileLockTest, AForkedChildDoesNotKeepIt) {
  std::optional<FileLock> held;
  {
    auto taken = FileLock::take(file_);
    ASSERT_TRUE(taken);
    held.emplace(std::move(*taken));
  }
  const pid_t child = fork_and_stay([] { return 0; });
  held.reset();
  EXPECT_EQ(refusal(), "");
  kill_and_wait(child);
}

TEST_F(FileLockTest, ADeletedFolderIsNoDeadEnd) {
  const auto held = FileLock::take(file_);
  ASSERT_TRUE(held);
  fs::remove_all(root_ / "deep");
  const auto next = FileLock::take(file_, milliseconds(20));
  EXPECT_TRUE(next) << "nobody can reach the deleted lock";
  EXPECT_NE(refusal(), "");
}

TEST_F(FileLockTest, AFileSystemWithoutLocksIsAWarning) {
  for (const int error : {ENOLCK, EOPNOTSUPP, ENOSYS}) {
    flock_error = error;
    testing::internal::CaptureStderr();
    EXPECT_EQ(refusal(), "");
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(said.starts_with("metallic warning: cannot lock ")) << said;
    EXPECT_NE(said.find(lock_.native()), std::string::npos) << said;
    EXPECT_FALSE(fs::exists(lock_));
  }
}

TEST_F(FileLockTest, RefusesOnOneLine) {
  ASSERT_TRUE(write_file(root_ / "deep", "a file"));
  EXPECT_NE(refusal().find("Not a directory"), std::string::npos) << refusal();
  fs::remove(root_ / "deep");
  fs::create_symlink(root_ / "nowhere", root_ / "deep");
  EXPECT_NE(refusal(), "") << "a dangling link";
  fs::create_directories(root_ / "nowhere");
  EXPECT_EQ(refusal(), "") << "a link to a folder is a folder";
}

}  // namespace
}  // namespace metallic
