// SPDX-License-Identifier: Apache-2.0
// Several files change together: whole changes survive a kill, failed ones leave no trace, and leftovers go.
#include "base/file_changes.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>

#include "base/file.h"

namespace metallic {
namespace {

namespace fs = std::filesystem;
using Files = std::map<std::string, std::string>;

class FileChangesTest : public testing::Test {
 protected:
  FileChangesTest() {
    std::string name = (fs::temp_directory_path() / "metallic_file_changes_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
  }
  ~FileChangesTest() override { fs::remove_all(root_); }

  // All files below the folder, hidden ones too, and folders with a '/' at the end.
  Files files() const {
    Files found;
    for (const auto& entry : fs::recursive_directory_iterator(root_)) {
      const std::string name = entry.path().lexically_relative(root_).native();
      if (entry.is_directory())
        found[name + "/"];
      else
        found[name] = read_file(entry.path(), 1 << 20).value_or("unreadable");
    }
    return found;
  }

  fs::path root_;
};

TEST_F(FileChangesTest, WritesReplacesAndDeletes) {
  ASSERT_TRUE(change_files(root_, {{"a", "1"}, {"b", "2"}, {"deep/c", ""}}));
  EXPECT_EQ(files(), (Files{{"a", "1"}, {"b", "2"}, {"deep/", ""}, {"deep/c", ""}}));
  ASSERT_TRUE(change_files(root_, {{"a", std::nullopt}, {"b", "3"}, {"deep/c", "4"}, {"missing", std::nullopt}}));
  EXPECT_EQ(files(), (Files{{"b", "3"}, {"deep/", ""}, {"deep/c", "4"}}));
}

TEST_F(FileChangesTest, FinishesWhatAKilledProcessDecided) {
  ASSERT_TRUE(write_file(root_ / "b", "old"));
  ASSERT_TRUE(write_file(root_ / "gone", "old"));
  ASSERT_TRUE(write_file(root_ / ".changes/b", "new"));
  ASSERT_TRUE(write_file(root_ / ".changes/deep/c", "new"));
  ASSERT_TRUE(write_file(root_ / ".changes/gone.delete", ""));
  fs::create_directory(root_ / "deep");
  ASSERT_TRUE(finish_changes(root_));
  const Files finished = {{"b", "new"}, {"deep/", ""}, {"deep/c", "new"}};
  EXPECT_EQ(files(), finished);
  ASSERT_TRUE(finish_changes(root_));
  EXPECT_EQ(files(), finished) << "once is enough";
}

TEST_F(FileChangesTest, AFailedChangeLeavesNoTrace) {
  ASSERT_TRUE(change_files(root_, {{"a", "1"}}));
  fs::create_directories(root_ / "b/c");
  const Files before = files();
  EXPECT_FALSE(change_files(root_, {{"a", "2"}, {"b", "2"}})) << "a folder is in the way";
  EXPECT_FALSE(change_files(root_, {{"a", "2"}, {"a/b", "2"}})) << "a file is in the way";
  EXPECT_EQ(files(), before);

  // A limit on the size of files stands in for a full disk.
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 1000, .rlim_max = limit.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const Status full = change_files(root_, {{"a", "2"}, {"z", std::string(2000, 'z')}});
  setrlimit(RLIMIT_FSIZE, &limit);
  signal(SIGXFSZ, handler);
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message.find("File too large"), std::string::npos) << full.error().message;
  EXPECT_EQ(files(), before);
}

TEST_F(FileChangesTest, OldLeftoversAreRemovedAndNothingElse) {
  const auto old = fs::file_time_type::clock::now() - std::chrono::minutes(11);
  for (const char* name : {".a.metallic-Ab3Xyz", ".a.backup", "a.metallic-Ab3Xyz", ".a.metallic-Ab3Xy", ".metallic-Ab3Xyz"})
    ASSERT_TRUE(write_file(root_ / name, ""));
  ASSERT_TRUE(write_file(root_ / ".changes.metallic-Ab3Xyz/deep/a", ""));
  for (const auto& entry : fs::directory_iterator(root_)) fs::last_write_time(entry.path(), old);
  ASSERT_TRUE(write_file(root_ / ".b.metallic-Ab3Xyz", "its writer may be alive"));
  remove_leftovers(root_);
  EXPECT_EQ(files(), (Files{{".a.backup", ""},
                            {"a.metallic-Ab3Xyz", ""},
                            {".a.metallic-Ab3Xy", ""},
                            {".metallic-Ab3Xyz", ""},
                            {".b.metallic-Ab3Xyz", "its writer may be alive"}}));
}

}  // namespace
}  // namespace metallic
