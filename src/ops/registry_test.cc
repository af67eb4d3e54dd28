// SPDX-License-Identifier: Apache-2.0
// What variants promise besides what validation/ tries: equal ids mean equal bits, names and tunings are unique.
#include "ops/registry.h"

#include <gtest/gtest.h>

#include <algorithm>

#include <array>
#include <cstring>
#include <map>
#include <set>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/planner.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"
#include "tuner/verify/oracle.h"

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
  const DeviceInfo device = cpu::device();
  cpu::Pool pool(problem.threads);
  const MatmulShape& s = problem.as<MatmulShape>();
  const size_t size = size_of(problem.out_dtype);
  for (const Variant& variant : variants(kMatmul))
    for (const Tuning& tuning : variant.tunings) {
      const auto id = variant.reduction_id(problem, tuning, device);
      if (!id || variant.rejects(problem, tuning, device)) continue;
      auto kernel = variant.prepare(problem, tuning, device, planner);
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
        if (threads == 2) (m > n ? part.as<MatmulShape>().n : part.as<MatmulShape>().m) = 5;
        ASSERT_NO_FATAL_FAILURE(check_bits(part, {.in = {a.data(), b.data()}}, out, seen));
      }
    }
}

// The first of some queries, which see more keys than it does.
TEST(Variants, AQueryGetsTheSameBitsAloneAndAmongOthers) {
  const DeviceInfo device = cpu::device();
  NoPlanner planner;
  InlineExecutor executor;
  const auto run = [&](const Variant& variant, const Tuning& tuning, const Problem& problem, const Args& args) {
    const auto kernel = variant.prepare(problem, tuning, device, planner);
    ASSERT_TRUE(kernel);
    std::vector<std::byte> workspace((*kernel)->workspace() + 64);
    auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) / 64 * 64);
    ASSERT_EQ((*kernel)->run(args, aligned, executor), Code::ok);
  };
  for (const DType dtype : kDTypes)
    for (const int64_t seen : {3, 90, 300, 1500}) {
      Problem among = with_dtype(sdpa_problem(1, 6, 2, 7, 2000, 40), dtype), alone = among;
      auto& one = alone.as<SdpaShape>();
      one.seq_q = 1;
      make_causal(one, seen - 1);
      make_causal(among.as<SdpaShape>(), seen - 1);
      const auto bytes = operand_bytes(among);
      std::vector<std::byte> in[3], out(static_cast<size_t>(bytes[kOut])), again(out.size());
      for (size_t i = 0; i < 3; ++i) {
        in[i].resize(static_cast<size_t>(bytes[i]));
        fill_random(dtype, in[i].data(), in[i].size() / size_of(dtype), i);
      }
      const Args args{.in = {in[0].data(), in[1].data(), in[2].data()}, .out = out.data()};
      for (const Variant& variant : variants(kSdpa))
        for (const Tuning& tuning : variant.tunings) {
          if (variant.family != "decode" && variant.family != "flash") continue;
          ASSERT_EQ(variant.reduction_id(among, tuning, device), variant.reduction_id(alone, tuning, device));
          ASSERT_NO_FATAL_FAILURE(run(variant, tuning, among, args));
          ASSERT_NO_FATAL_FAILURE(run(variant, tuning, alone, {.in = {args.in[0], args.in[1], args.in[2]}, .out = again.data()}));
          const SdpaShape& s = among.as<SdpaShape>();
          for (int64_t head = 0; head < s.heads; ++head) {
            const auto at = static_cast<size_t>(head * s.out.head) * size_of(dtype);
            ASSERT_EQ(0, std::memcmp(out.data() + at, again.data() + at, static_cast<size_t>(s.head_dim) * size_of(dtype)))
                << to_string(variant, tuning) << ' ' << name(dtype) << ", " << seen << " keys, head " << head;
          }
        }
    }
}

TEST(Variants, HaveUniqueNamesTuningsAndPreferOneOfThem) {
  const DeviceInfo device = cpu::device();
  const DeviceInfo gpu{.id = "cuda:0",
                       .backend = "cuda",
                       .kind = CudaInfo{.sm_version = 90, .num_sms = 132, .smem_per_block = 227 << 10, .l2_bytes = 60 << 20}};
  for (const Op op : operations()) {
    std::set<std::string> seen;
    ASSERT_GE(variants(op).size(), 2u);
    for (const Variant& variant : variants(op)) {
      EXPECT_TRUE(variant.backend() == "cpu" || variant.backend() == "cuda") << variant.name;
      ASSERT_FALSE(variant.tunings.empty());
      for (const Tuning& tuning : variant.tunings) {
        EXPECT_TRUE(seen.insert(to_string(variant, tuning)).second);
        EXPECT_EQ(find_tuning(variant, to_string(tuning)), tuning);
      }
      const Problem problem = op == kSoftmax  ? softmax_problem(4, 100)
                              : op == kMatmul ? matmul_problem(64, 64, 4)
                                              : sdpa_problem(1, 4, 2, 3, 50, 16);
      const Tuning& preferred = variant.prefer(problem, variant.backend() == "cuda" ? gpu : device);
      EXPECT_TRUE(std::ranges::any_of(variant.tunings, [&](const Tuning& tuning) { return &tuning == &preferred; }));
    }
  }
}

}  // namespace
}  // namespace metallic
