// SPDX-License-Identifier: Apache-2.0
// Checkpoint: all complete blocks survive a kill at any byte, and files of others are not touched.
#include "tools/metallic/checkpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"
#include "testing/memory_folder.h"

namespace metallic::cli {
namespace {

namespace fs = std::filesystem;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() {
    std::string name = (memory_folder() / "metallic_checkpoint_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
    path_ = root_ / "samples.partial.csv";
  }
  ~CheckpointTest() override { fs::remove_all(root_); }

  static std::vector<SampleRow> block(int64_t number, int64_t count, const std::string& label = "rows4_seqk64") {
    std::vector<SampleRow> rows;
    for (int64_t order = 0; order < count; ++order) {
      SampleRow row;
      row.parameters = label;
      row.variant = "cpu_vec";
      row.tuning = "unroll=" + std::to_string(order);
      row.cache = "warm";
      row.block = number;
      row.order = order;
      row.iterations = 3;
      row.time_ns = 100.5 + static_cast<double>(number);
      row.at_s = 0.25 * static_cast<double>(number);
      rows.push_back(row);
    }
    return rows;
  }

  Checkpoint open() const {
    auto checkpoint = Checkpoint::open(path_);
    EXPECT_TRUE(checkpoint) << checkpoint.error().message;
    return std::move(*checkpoint);
  }
  std::string text() const { return read_file(path_, 1 << 20).value_or("unreadable"); }

  // Blocks as (label, number), each with how many rows it has.
  static std::vector<std::tuple<std::string, int64_t, int>> blocks(const std::vector<SampleRow>& rows) {
    std::vector<std::tuple<std::string, int64_t, int>> found;
    for (const SampleRow& row : rows) {
      if (found.empty() || std::get<0>(found.back()) != row.parameters || std::get<1>(found.back()) != row.block)
        found.emplace_back(row.parameters, row.block, 0);
      ++std::get<2>(found.back());
    }
    return found;
  }

  fs::path root_, path_;
};

TEST_F(CheckpointTest, ReturnsAppendedBlocks) {
  {
    Checkpoint checkpoint = open();
    EXPECT_TRUE(checkpoint.earlier().empty());
    EXPECT_FALSE(fs::exists(path_)) << "nothing to keep yet";
    ASSERT_TRUE(checkpoint.append(block(0, 3)));
    ASSERT_TRUE(checkpoint.append(block(0, 2, "64x64x4")));
  }
  {
    Checkpoint checkpoint = open();
    EXPECT_EQ(checkpoint.earlier().size(), 5u);
    ASSERT_TRUE(checkpoint.append(block(1, 1)));
  }
  Checkpoint checkpoint = open();
  const auto expected =
      std::vector<std::tuple<std::string, int64_t, int>>{{"rows4_seqk64", 0, 3}, {"64x64x4", 0, 2}, {"rows4_seqk64", 1, 1}};
  EXPECT_EQ(blocks(checkpoint.earlier()), expected);
  const SampleRow& last = checkpoint.earlier().back();
  EXPECT_EQ(last.tuning, "unroll=0");
  EXPECT_EQ(last.iterations, 3);
  EXPECT_EQ(last.time_ns, 101.5);
  EXPECT_EQ(last.at_s, 0.25);
  checkpoint.remove();
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(CheckpointTest, BelongsToOneRun) {
  std::optional<Checkpoint> first(open());
  const auto second = Checkpoint::open(path_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another process holds it"), std::string::npos) << second.error().message;
  EXPECT_NE(second.error().message.find("choose another --output-dir"), std::string::npos) << second.error().message;
  first.reset();
  EXPECT_TRUE(Checkpoint::open(path_));
}

TEST_F(CheckpointTest, KeepsCompleteBlocksIfCutAnywhere) {
  std::string two;
  {
    Checkpoint checkpoint = open();
    ASSERT_TRUE(checkpoint.append(block(0, 3)));
    ASSERT_TRUE(checkpoint.append(block(1, 2)));
    two = text();
    ASSERT_TRUE(checkpoint.append(block(2, 4)));
  }
  const std::string all = text();
  ASSERT_TRUE(all.starts_with(two));
  using Blocks = std::vector<std::tuple<std::string, int64_t, int>>;
  const Blocks kept = {{"rows4_seqk64", 0, 3}, {"rows4_seqk64", 1, 2}};
  for (size_t size = two.size(); size < all.size(); ++size) {
    ASSERT_TRUE(write_file(path_, all.substr(0, size)));
    {
      Checkpoint checkpoint = open();
      EXPECT_EQ(blocks(checkpoint.earlier()), kept) << "cut at byte " << size << " of " << all.size();
      ASSERT_TRUE(checkpoint.append(block(2, 1)));
    }
    Blocks more = kept;
    more.emplace_back("rows4_seqk64", 2, 1);
    ASSERT_EQ(blocks(open().earlier()), more) << "cut at byte " << size;
  }
  ASSERT_TRUE(write_file(path_, all));
  EXPECT_EQ(open().earlier().size(), 9u);
  for (size_t size = 0; size < all.find('\n') + 1; ++size) {  // in the header
    ASSERT_TRUE(write_file(path_, all.substr(0, size)));
    EXPECT_TRUE(open().earlier().empty());
  }
}

TEST_F(CheckpointTest, RefusesOtherFiles) {
  { ASSERT_TRUE(open().append(block(0, 2))); }
  const std::string mine = text();
  for (const std::string& foreign :
       {std::string("hello"), std::string("hello\n"), std::string("variant,parameters,dtype,block,time_ns\n"), "x" + mine,
        mine + "1,2\n", mine + std::string(100, '\0') + "\n"}) {
    ASSERT_TRUE(write_file(path_, foreign));
    const auto checkpoint = Checkpoint::open(path_);
    ASSERT_FALSE(checkpoint) << foreign;
    EXPECT_NE(checkpoint.error().message.find("samples.partial.csv"), std::string::npos) << checkpoint.error().message;
    EXPECT_EQ(checkpoint.error().message.find('\n'), std::string::npos) << checkpoint.error().message;
    EXPECT_EQ(text(), foreign) << "it is left as it was";
  }
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_FALSE(Checkpoint::open(path_));
}

}  // namespace
}  // namespace metallic::cli
