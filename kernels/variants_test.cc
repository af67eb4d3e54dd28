// What variants promise besides what validation/ tries: equal ids mean equal bits, names and tunings are unique.
#include "kernels/variants.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <set>

#include "backends/cpu/facts.h"
#include "backends/cpu/pool.h"
#include "core/label.h"
#include "core/planner.h"
#include "kernels/oracle.h"

namespace metallic {
namespace {

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::unsupported, "no parts in this test"); }
};

// The bits of C from every candidate that takes the problem, by reduction_id; those of one id must be equal.
void check_bits(const Problem& problem, const Args& args, std::vector<std::byte>& out,
                std::map<std::string, std::vector<std::byte>>& seen) {
  NoPlanner planner;
  const DeviceFacts facts = cpu::facts();
  cpu::Pool pool(problem.threads);
  const MatmulShape& s = problem.matmul();
  const size_t size = size_of(problem.out_dtype);
  for (const Variant& variant : variants(Op::matmul))
    for (const Tuning& tuning : variant.tunings) {
      const auto id = variant.reduction_id(problem, tuning, facts);
      if (!id || variant.rejects(problem, tuning, facts)) continue;
      auto kernel = variant.prepare(problem, tuning, facts, planner);
      ASSERT_TRUE(kernel);
      std::vector<std::byte> workspace((*kernel)->workspace() + 64);
      auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
      ASSERT_EQ((*kernel)->run({.in = {args.in[0], args.in[1]}, .out = out.data()}, aligned, pool), Code::ok);
      const auto& first = seen.try_emplace(*id, out).first->second;
      for (int64_t i = 0; i < s.m; ++i) {
        const auto row = static_cast<size_t>(i * s.ldc) * size;
        ASSERT_EQ(0, std::memcmp(out.data() + row, first.data() + row, static_cast<size_t>(s.n) * size))
            << to_string(variant, tuning) << ' ' << label(problem) << ' ' << name(problem.dtype) << " row " << i;
      }
    }
}

// Whoever has the same reduction_id gives the same bits, whatever the rows and columns around and the threads.
TEST(Variants, EqualIdsGiveEqualBits) {
  for (const DType dtype : kDTypes)
    for (const auto& [m, k, n] : {std::array{40, 800, 16}, {16, 800, 40}, {33, 800, 20}, {500, 300, 7}}) {
      const Problem whole = with_dtype(matmul_problem(m, k, n, false, true), dtype);
      const auto bytes = operand_bytes(whole);
      std::vector<std::byte> a(static_cast<size_t>(bytes[0])), b(static_cast<size_t>(bytes[1])),
          out(static_cast<size_t>(bytes[kOut]));
      fill_random(dtype, a.data(), a.size() / size_of(dtype), 5);
      fill_random(dtype, b.data(), b.size() / size_of(dtype), 6);
      std::map<std::string, std::vector<std::byte>> seen;
      for (const int threads : {1, 2, 3}) {
        Problem part = whole;
        part.threads = threads;
        // The same matrices, fewer columns or rows; C is as wide as of the whole.
        if (threads == 2) (m > n ? std::get<MatmulShape>(part.shape).n : std::get<MatmulShape>(part.shape).m) = 5;
        ASSERT_NO_FATAL_FAILURE(check_bits(part, {.in = {a.data(), b.data()}}, out, seen));
      }
    }
}

TEST(Variants, HaveUniqueNamesTuningsAndPreferOneOfThem) {
  const DeviceFacts facts = cpu::facts();
  for (const Op op : kOps) {
    std::set<std::string> seen;
    ASSERT_GE(variants(op).size(), 2u);
    for (const Variant& variant : variants(op)) {
      EXPECT_EQ(variant.backend(), "cpu");
      ASSERT_FALSE(variant.tunings.empty());
      for (const Tuning& tuning : variant.tunings) {
        EXPECT_TRUE(seen.insert(to_string(variant, tuning)).second);
        EXPECT_EQ(find_tuning(variant, to_string(tuning)), tuning);
      }
      const Problem problem = op == Op::softmax  ? softmax_problem(4, 100)
                              : op == Op::matmul ? matmul_problem(64, 64, 4)
                                                 : sdpa_problem(1, 4, 2, 3, 50, 16);
      EXPECT_TRUE(find_tuning(variant, to_string(variant.prefer(problem, facts))));
    }
  }
}

}  // namespace
}  // namespace metallic
