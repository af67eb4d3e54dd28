// What all variants promise besides right results, which validation/ tries: equal bits for any number of threads, names.
#include "kernels/variants.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "backends/cpu/facts.h"
#include "backends/cpu/pool.h"
#include "core/planner.h"
#include "kernels/oracle.h"

namespace metallic {
namespace {

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::unsupported, "no parts in this test"); }
};

TEST(Variants, GiveTheSameBitsForAnyNumberOfThreads) {
  NoPlanner planner;
  const DeviceFacts facts = cpu::facts();
  for (const Problem& wanted : {softmax_problem(2, 30000), matmul_problem(500, 300, 7), matmul_problem(120, 300, 130)}) {
    const auto bytes = operand_bytes(wanted);
    std::vector<float> a(static_cast<size_t>(bytes[0]) / sizeof(float)), b(static_cast<size_t>(bytes[1]) / sizeof(float)),
        out(static_cast<size_t>(bytes[kOut]) / sizeof(float));
    fill_random(DType::f32, a.data(), a.size(), 5);
    fill_random(DType::f32, b.data(), b.size(), 6);
    for (const Variant& variant : variants(wanted.op()))
      for (const Tuning& tuning : variant.tunings) {
        if (!variant.reduction_id(wanted, tuning, facts) || variant.rejects(wanted, tuning, facts)) continue;
        std::vector<float> first;
        for (const int threads : {1, 2, 3}) {
          cpu::Pool pool(threads);
          Problem problem = wanted;
          problem.threads = threads;
          auto kernel = variant.prepare(problem, tuning, facts, planner);
          ASSERT_TRUE(kernel);
          std::unique_ptr<std::byte[]> workspace(new (std::align_val_t(64)) std::byte[(*kernel)->workspace() + 64]);
          ASSERT_EQ((*kernel)->run({.in = {a.data(), b.data()}, .out = out.data()}, workspace.get(), pool), Code::ok);
          ::operator delete[](workspace.release(), std::align_val_t(64));
          if (first.empty()) first = out;
          ASSERT_EQ(0, std::memcmp(first.data(), out.data(), out.size() * sizeof(float)))
              << to_string(variant, tuning) << " with " << threads << " threads";
        }
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
