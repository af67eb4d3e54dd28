// Operands: where they lie when warm, cold and aligned, and that equal seeds give equal numbers.
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

size_t place(const void* operand) { return reinterpret_cast<uintptr_t>(operand); }

// Three times in four a multiple of a cache line, else of what malloc gives; each operand anywhere in 16 pages of its own, so
// that no variant profits from one lucky place or distance. The same for all calls until the next draw.
TEST(Operands, AreAlignedAsDrawn) {
  const Problem problem = *parse_label("rows8_seqk256");
  Operands operands = create(problem, Cache::warm);
  const size_t begin = place(operands.next(problem, Cache::warm).in[0]), out = place(operands.next(problem, Cache::warm).out);
  std::set<size_t> offsets;
  int lines = 0, alike = 0;
  for (uint64_t drawn = 0; drawn < 1024; ++drawn) {
    operands.align(drawn);
    const Args args = operands.next(problem, Cache::warm);
    const size_t offset = place(args.in[0]) - begin, of_out = place(args.out) - out;
    EXPECT_LT(offset, 65536u);
    EXPECT_LT(of_out, 65536u);
    EXPECT_EQ(offset % 16, 0u);
    EXPECT_EQ(operands.next(problem, Cache::warm).in[0], args.in[0]) << "warm operands stay";
    offsets.insert(offset);
    lines += offset % 64 == 0 ? 1 : 0;
    alike += offset % 4096 == of_out % 4096 ? 1 : 0;
  }
  EXPECT_GT(offsets.size(), 500u);
  EXPECT_NEAR(lines, 1024 * 13 / 16, 60) << "three in four, and a quarter of the others by chance";
  EXPECT_LT(alike, 50) << "input and output are drawn apart";
}

// What is cold comes back only after `cold_bytes` of others, and never lies over what the call before used.
TEST(Operands, ColdOnesRotateThroughAllBytes) {
  const Problem problem = *parse_label("4x256x192_tb");  // weights in B: 256·192·4 bytes, 48 pages
  Operands operands = create(problem, Cache::cold);
  operands.align(5);
  const Args first = operands.next(problem, Cache::cold);
  size_t before = place(first.in[1]), calls = 1;
  for (Args args = operands.next(problem, Cache::cold); args.in[1] != first.in[1]; args = operands.next(problem, Cache::cold)) {
    EXPECT_EQ(place(args.in[1]), before + 256 * 192 * 4) << "rows keep their alignment, bytes are not used twice";
    EXPECT_EQ(args.in[0], first.in[0]) << "activations stay: they were just written";
    EXPECT_EQ(args.out, first.out);
    before = place(args.in[1]);
    ASSERT_LT(++calls, 100u);
  }
  EXPECT_GE(calls * 256 * 192 * 4, static_cast<size_t>(kCold));
  EXPECT_LT((calls - 1) * 256 * 192 * 4, static_cast<size_t>(kCold));
}

// The last bytes of the last place at the largest offset are there: a sanitizer sees it if not.
TEST(Operands, EndWithinTheirBuffers) {
  const Problem problem = *parse_label("rows3_seqk1000");
  Operands operands = create(problem, Cache::cold);
  for (uint64_t drawn = 0; drawn < 200; ++drawn) {  // the largest offsets among them
    operands.align(drawn);
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
