// SPDX-License-Identifier: Apache-2.0
// Processes that install and roll back at once, and are killed meanwhile, lose no rule list and leave no half-done change.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/file_changes.h"
#include "dispatch/profile_store.h"
#include "ops/softmax/shape.h"
#include "testing/memory_folder.h"

namespace {

int renames_to_live = -1;  // the process dies before one more; negative: never

}  // namespace

// Takes the place of the C library's. The state of a folder changes with renames, so a kill at each of them covers all states.
extern "C" int rename(const char* from, const char* to) noexcept(noexcept(::rename("", ""))) {
  if (renames_to_live == 0) raise(SIGKILL);
  if (renames_to_live > 0) --renames_to_live;
  return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

namespace metallic {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Lists = std::set<int>;  // a list is told apart by its number of threads
using Files = std::map<std::string, std::string>;

class ProfileStoreRace : public testing::Test {
 protected:
  ProfileStoreRace() {
    std::string name = (memory_folder() / "metallic_profile_store_race_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
  }
  ~ProfileStoreRace() override { fs::remove_all(root_); }

  Status install(int list, const std::string& model = "a") const {
    Profile profile{.device = device_, .fingerprint = fingerprint(device_), .model = model};
    profile.lists = {{{.op = kSoftmax, .threads = list, .layout = "contiguous"}, {{.use = "cpu_vec"}}}};
    METALLIC_CHECK(install_profile(profile, device_, lookup()));
    return {};
  }
  Status rollback() const {
    METALLIC_CHECK(rollback_profiles(device_, lookup()));
    return {};
  }
  Lists lists(const std::string& model = "any") const {
    const auto profile = load_profile(folder() / (model + ".json"), device_);
    EXPECT_TRUE(profile || profile.error().code == Code::not_found) << profile.error().message;
    Lists found;
    if (profile)
      for (const RuleList& list : profile->lists) found.insert(list.key.threads);
    return found;
  }
  fs::path folder() const { return profile_path(device_, "any", lookup())->parent_path(); }
  Lookup lookup() const {
    return [root = root_.native()](std::string_view name) -> std::optional<std::string> {
      return name == "XDG_DATA_HOME" ? std::optional(root) : std::nullopt;
    };
  }
  // All files of the folder with their contents.
  Files files() const {
    Files found;
    std::error_code ignored;
    for (const auto& entry : fs::recursive_directory_iterator(folder(), ignored))
      if (entry.is_regular_file())
        found[entry.path().lexically_relative(folder())] = read_file(entry.path(), 1 << 20).value_or("?");
    return found;
  }

  // Runs `f` in a process of its own, which exits with 0 if the status is good and otherwise prints it.
  template <typename F>
  static pid_t start(F f) {
    const pid_t child = fork();
    if (child != 0) return child;
    alarm(120);
    const Status status = f();
    if (!status) dprintf(STDERR_FILENO, "%s\n", status.error().message.c_str());
    _exit(status ? 0 : 1);
  }
  static int end(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  DeviceInfo device_{.id = "cpu", .backend = "cpu", .model = "test", .kind = CpuInfo{.isa = "AVX2"}};
  fs::path root_;
};

TEST_F(ProfileStoreRace, InstallsAtOnceAreAllThere) {
  constexpr int kWriters = 4, kEach = 8;
  std::vector<pid_t> writers;
  for (int writer = 0; writer < kWriters; ++writer)
    writers.push_back(start([&]() -> Status {
      for (int i = 0; i < kEach; ++i) METALLIC_CHECK(install(1 + writer * kEach + i, writer % 2 == 0 ? "a" : "b"));
      return {};
    }));
  // Meanwhile, a reader sees whole profiles, and no list goes.
  for (size_t seen = 0; seen < kWriters * kEach && !HasFailure();) {
    const size_t now = lists().size();
    EXPECT_GE(now, seen);
    seen = now;
    if (waitpid(-1, nullptr, WNOHANG | WNOWAIT) < 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (const pid_t writer : writers) EXPECT_EQ(end(writer), 0);
  EXPECT_EQ(lists().size(), kWriters * kEach);
  EXPECT_EQ(lists("a").size(), kWriters * kEach / 2);
  EXPECT_EQ(lists("b").size(), kWriters * kEach / 2);
}

// Kills a writer before each of its renames in turn. The next writer then finds all as before or all as after.
class KilledWriter : public ProfileStoreRace, public testing::WithParamInterface<const char*> {};

TEST_P(KilledWriter, LeavesOldOrNewAtAnyStep) {
  ASSERT_TRUE(install(1));
  ASSERT_TRUE(install(2, "b"));
  ASSERT_TRUE(install(3));
  const Files before = files();
  const fs::path saved = root_ / "saved";
  fs::copy(folder(), saved, fs::copy_options::recursive);
  std::vector<Files> found;
  int code = -SIGKILL;
  for (int step = 0; code == -SIGKILL; ++step) {
    fs::remove_all(folder());
    fs::copy(saved, folder(), fs::copy_options::recursive);
    code = end(start([&] {
      renames_to_live = step;
      return std::string(GetParam()) == "install" ? install(4, "c") : rollback();
    }));
    EXPECT_TRUE(lists().contains(1)) << "readers need no repair";
    ASSERT_TRUE(finish_changes(folder()));
    Files now = files();
    std::erase_if(now, [](const auto& file) { return file.first.starts_with('.'); });
    if (found.empty() || found.back() != now) found.push_back(std::move(now));
  }
  EXPECT_EQ(code, 0);
  ASSERT_EQ(found.size(), 2u) << "one step decides";
  EXPECT_EQ(found.front(), before);
  EXPECT_NE(found.back(), before);
}

INSTANTIATE_TEST_SUITE_P(Dispatch, KilledWriter, testing::Values("install", "rollback"));

TEST_F(ProfileStoreRace, AKillAtAnyMomentLosesNothing) {
  constexpr int kRounds = 200, kLists = 100;
  std::mt19937 random(1);
  Lists installed;
  // Some installs end before the kill, and the last does not.
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(install(1));
  const auto one_us = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count();
  const auto longest_us = static_cast<unsigned>(std::max<int64_t>(15'000, 6 * one_us));
  const auto count_in = [&](int from) {
    for (unsigned char list = 0; read(from, &list, 1) == 1;) installed.insert(list);
  };
  for (int round = 0; round < kRounds; ++round) {
    int done[2];
    ASSERT_EQ(pipe(done), 0);
    const pid_t writer = start([&]() -> Status {
      for (int list = round % kLists + 1;; list = list % kLists + 1) {
        METALLIC_CHECK(install(list));
        const auto byte = static_cast<unsigned char>(list);
        if (write(done[1], &byte, 1) != 1) return {};
      }
    });
    close(done[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % longest_us));
    kill(writer, SIGKILL);
    EXPECT_EQ(end(writer), -SIGKILL);
    count_in(done[0]);
    close(done[0]);
    for (const char* model : {"any", "a"}) {
      const Lists there = lists(model);
      // In the middle of an install, one of the two may be a step behind.
      EXPECT_TRUE(std::ranges::includes(there, installed)) << "round " << round << ", " << model;
    }
    if (round % 10 != 9 || installed.size() < 2) continue;
    ASSERT_TRUE(install(1));
    const Files now = files();
    ASSERT_TRUE(rollback());
    EXPECT_TRUE(std::ranges::includes(lists(), installed));
    EXPECT_EQ(lists(), lists("a"));
    ASSERT_TRUE(rollback());
    Files again = files();
    EXPECT_EQ(again["any.json"], now.at("any.json"));
  }
  EXPECT_GT(installed.size(), 10u) << "the kills came too early to test anything";
}

TEST_F(ProfileStoreRace, RollbacksAndInstallsTakeTurns) {
  ASSERT_TRUE(install(1));
  ASSERT_TRUE(install(2));
  std::vector<pid_t> writers;
  for (int writer = 0; writer < 4; ++writer)
    writers.push_back(start([&]() -> Status {
      for (int i = 0; i < 8; ++i) METALLIC_CHECK(writer == 0 ? rollback() : install(2 + writer * 8 + i));
      return {};
    }));
  for (const pid_t writer : writers) EXPECT_EQ(end(writer), 0);
  EXPECT_TRUE(lists().contains(1)) << "each rollback goes back to a state with it";
  const Files there = files();
  EXPECT_EQ(there.size(), 4u) << "no lock and no temporary file is left";
  EXPECT_EQ(there.at("a.json"), there.at("any.json")) << "the pair changes together";
  EXPECT_EQ(there.at("previous/a.json"), there.at("previous/any.json"));
}

TEST_F(ProfileStoreRace, RefusalsAreOneLineAndChangeNothing) {
  ASSERT_TRUE(install(1));
  ASSERT_TRUE(install(2));
  const Files before = files();
  const auto refusal = [&] {
    int out[2];
    EXPECT_EQ(pipe(out), 0);
    const pid_t writer = start([&]() -> Status {
      dup2(out[1], STDERR_FILENO);
      [[maybe_unused]] const bool is_other = geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0);  // root may all
      signal(SIGXFSZ, SIG_IGN);
      const rlimit full{.rlim_cur = 100, .rlim_max = 100};
      if (fs::exists(root_ / "full")) setrlimit(RLIMIT_FSIZE, &full);
      return install(3);
    });
    close(out[1]);
    EXPECT_EQ(end(writer), 1);
    std::string text(1000, '\0');
    const ssize_t got = read(out[0], text.data(), text.size());
    close(out[0]);
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    EXPECT_EQ(text.find('\n') + 1, text.size()) << text;
    EXPECT_EQ(files(), before);
    return text;
  };
  chmod(root_.c_str(), 0755);
  fs::permissions(folder(), fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  EXPECT_THAT(refusal(), HasSubstr("Permission denied")) << "read-only, or of another owner";

  fs::permissions(folder(), fs::perms::all);
  fs::permissions(folder() / "previous", fs::perms::all);
  ASSERT_TRUE(write_file(root_ / "full", ""));
  EXPECT_THAT(refusal(), HasSubstr("File too large")) << "stands in for a full disk";

  // A link to the folder is as good as the folder.
  fs::remove(root_ / "full");
  fs::rename(folder(), root_ / "elsewhere");
  fs::create_directory_symlink(root_ / "elsewhere", folder());
  EXPECT_TRUE(install(3));
  EXPECT_EQ(lists(), (Lists{1, 2, 3}));
  EXPECT_TRUE(fs::is_symlink(folder()));
}

}  // namespace
}  // namespace metallic
