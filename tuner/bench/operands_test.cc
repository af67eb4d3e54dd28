// SPDX-License-Identifier: Apache-2.0
// Operands: addresses when warm, cold and aligned; equal seeds give equal numbers.
#include "tuner/bench/operands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "ops/label.h"

namespace metallic {
namespace {

constexpr int64_t kCold = 1 << 20;

Operands create(const Problem& problem, Cache cache, uint64_t seed = 1) {
  const OperandUse use{.problem = problem, .cache = cache};
  auto operands = Operands::create({&use, 1}, {}, cache == Cache::cold ? kCold : 0, seed);
  EXPECT_TRUE(operands) << operands.error().message;
  return std::move(*operands);
}

size_t address(const void* operand) { return reinterpret_cast<uintptr_t>(operand); }

// Multiples of a cache line three times in four, else of 16 bytes. Each operand has its own address within 16 pages, so that no
// variant profits from a lucky address or distance. All calls until the next `align` use the same addresses.
TEST(Operands, HaveRandomAlignment) {
  const Problem problem = *parse_label("rows8_seqk256");
  Operands operands = create(problem, Cache::warm);
  const size_t begin = address(operands.next(problem, Cache::warm).in[0]), out = address(operands.next(problem, Cache::warm).out);
  std::set<size_t> offsets;
  int lines = 0, alike = 0;
  for (uint64_t random = 0; random < 1024; ++random) {
    operands.align(random);
    const Args args = operands.next(problem, Cache::warm);
    const size_t offset = address(args.in[0]) - begin, of_out = address(args.out) - out;
    EXPECT_LT(offset, 65536u);
    EXPECT_LT(of_out, 65536u);
    EXPECT_EQ(offset % 16, 0u);
    EXPECT_EQ(operands.next(problem, Cache::warm).in[0], args.in[0]) << "warm operands stay";
    offsets.insert(offset);
    lines += offset % 64 == 0 ? 1 : 0;
    alike += offset % 4096 == of_out % 4096 ? 1 : 0;
  }
  EXPECT_GT(offsets.size(), 500u);
  EXPECT_NEAR(lines, 1024 * 13 / 16, 60) << "three in four, plus a quarter of the rest by chance";
  EXPECT_LT(alike, 50) << "input and output are independent";
}

// A cold address is reused only after `cold_bytes` of others, and never overlaps with the call before.
TEST(Operands, ColdOnesRotateThroughAllBytes) {
  const Problem problem = *parse_label("4x256x192_tb");  // weights in B: 256·192·4 bytes, 48 pages
  Operands operands = create(problem, Cache::cold);
  operands.align(5);
  const Args first = operands.next(problem, Cache::cold);
  size_t before = address(first.in[1]), calls = 1;
  for (Args args = operands.next(problem, Cache::cold); args.in[1] != first.in[1]; args = operands.next(problem, Cache::cold)) {
    EXPECT_EQ(address(args.in[1]), before + 256 * 192 * 4) << "alignment stays, no overlap";
    EXPECT_EQ(args.in[0], first.in[0]) << "activations stay: they were just written";
    EXPECT_EQ(args.out, first.out);
    before = address(args.in[1]);
    ASSERT_LT(++calls, 100u);
  }
  EXPECT_GE(calls * 256 * 192 * 4, static_cast<size_t>(kCold));
  EXPECT_LT((calls - 1) * 256 * 192 * 4, static_cast<size_t>(kCold));
}

// The last bytes at the last position and largest offset are allocated; a sanitizer would report an overflow.
TEST(Operands, EndWithinTheirBuffers) {
  const Problem problem = *parse_label("rows3_seqk1000");
  Operands operands = create(problem, Cache::cold);
  for (uint64_t random = 0; random < 200; ++random) {  // the largest offsets among them
    operands.align(random);
    for (int call = 0; call < 20; ++call) {
      const Args args = operands.next(problem, Cache::cold);
      std::memset(args.out, 1, 3 * 1000 * 4);
      std::memset(const_cast<void*>(args.in[0]), 1, 3 * 1000 * 4);
    }
  }
}

TEST(Operands, EqualSeedsGiveEqualNumbers) {
  const Problem problem = *parse_label("rows8_seqk256");
  const auto numbers = [&](uint64_t seed) {
    Operands operands = create(problem, Cache::warm, seed);
    const auto* begin = static_cast<const std::byte*>(operands.next(problem, Cache::warm).in[0]);
    return std::vector<std::byte>(begin, begin + 8 * 256 * 4);
  };
  EXPECT_EQ(numbers(3), numbers(3));
  EXPECT_NE(numbers(3), numbers(4));
}

}  // namespace
}  // namespace metallic
