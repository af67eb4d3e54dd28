// SPDX-License-Identifier: Apache-2.0
// The committed table is that of this build: nothing needs more memory than it says, and nothing is missing from it.
#include "tuner/verify/workspace_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/cpu/thread_pool.h"

namespace metallic::validation {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kResident = false;  // the sanitizer keeps memory of its own
#else
constexpr bool kResident = true;
#endif

TEST(Memory, HasNotGrown) {
  cpu::Pool pool(4);
  auto measured = measure_memory(pool);
  ASSERT_TRUE(measured) << measured.error().message;
  if (!kResident) std::erase_if(*measured, [](const MemoryRow& row) { return row.what == "resident"; });
  const auto committed = committed_memory();
  ASSERT_TRUE(committed) << committed.error().message;
  EXPECT_GT(measured->size(), 100u);
  EXPECT_THAT(memory_growth(*measured, *committed), testing::IsEmpty())
      << "where more memory is meant: metallic validate --write-memory tuner/verify/workspace_table.csv";
}

TEST(Memory, GrowthAndMissingRowsAreFound) {
  const std::vector<MemoryRow> before = {{.what = "workspace", .label = "8x8x8", .bytes = 64}, {.what = "resident", .bytes = 10}};
  std::vector<MemoryRow> after = before;
  EXPECT_THAT(memory_growth(after, before), testing::IsEmpty());
  after[0].bytes = 63;
  EXPECT_THAT(memory_growth(after, before), testing::IsEmpty());
  after[0].bytes = 65;
  after.push_back({.what = "workspace", .label = "9x9x9"});
  const auto wrong = memory_growth(after, before);
  ASSERT_EQ(wrong.size(), 2u);
  EXPECT_THAT(wrong[0], testing::HasSubstr("65 bytes, the table allows 64"));
  EXPECT_THAT(wrong[1], testing::HasSubstr("not in the table"));
}

TEST(Memory, TableRoundTripsAndFaultsNameTheLine) {
  const std::vector<MemoryRow> rows = {{.what = "workspace",
                                        .label = "a,b",
                                        .dtype = "f32",
                                        .threads = 2,
                                        .target = "AVX2",
                                        .variant = "cpu_x",
                                        .tuning = "k=1;l=2",
                                        .bytes = 123}};
  const auto again = parse_memory(to_csv(rows), "table");
  ASSERT_TRUE(again) << again.error().message;
  ASSERT_EQ(again->size(), 1u);
  EXPECT_EQ((*again)[0].key(), rows[0].key());
  EXPECT_EQ((*again)[0].bytes, 123);
  const auto bad = parse_memory("what,label,dtype,threads,target,variant,tuning,bytes\nworkspace,a,f32,1,x,y,,-5\n", "table");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message, testing::HasSubstr("table line 2 column bytes"));
  EXPECT_FALSE(parse_memory("what\n", "table"));
}

}  // namespace
}  // namespace metallic::validation
