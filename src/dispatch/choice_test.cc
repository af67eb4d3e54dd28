// SPDX-License-Identifier: Apache-2.0
// Choices over random problems, profiles and environments: equal to the full decision, and to trying the rules one by one.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <random>

#include "dispatch/built_in_profiles.h"
#include "dispatch/select.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/registry.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  int64_t upto(int64_t most) { return std::uniform_int_distribution<int64_t>(0, most)(random_); }
  bool one_in(int64_t n) { return upto(n - 1) == 0; }
  /// Small values and edges of rules more often than large ones; now and then 0.
  int64_t size() { return upto(int64_t{1} << upto(12)); }
  template <typename Range>
  const auto& of(const Range& range) {
    return range[static_cast<size_t>(upto(static_cast<int64_t>(std::size(range)) - 1))];
  }

 private:
  std::mt19937 random_;
};

Problem random_softmax(Dice& dice) {
  Problem problem =
      dice.one_in(2) ? softmax_problem(dice.size(), dice.size()) : softmax_problem(dice.upto(8), dice.size(), dice.size());
  auto& s = problem.as<SoftmaxShape>();
  if (s.rank == 3 && dice.one_in(2)) make_causal(s);
  if (dice.one_in(4)) s.out_stride += dice.upto(8);
  if (dice.one_in(4)) s.scale = 0.125f;
  return problem;
}

Problem random_matmul(Dice& dice) {
  Problem problem = matmul_problem(dice.size(), dice.size(), dice.size(), dice.one_in(3), dice.one_in(2), 1 + dice.upto(2));
  auto& s = problem.as<MatmulShape>();
  if (dice.one_in(4)) s.ldc += dice.upto(8);
  if (dice.one_in(8)) s.alpha = 0;
  return problem;
}

Problem random_sdpa(Dice& dice) {
  const int64_t kv_heads = 1 + dice.upto(7);
  Problem problem =
      sdpa_problem(1 + dice.upto(2), kv_heads * (1 + dice.upto(3)), kv_heads, dice.size(), dice.size(), dice.upto(128));
  auto& s = problem.as<SdpaShape>();
  if (dice.one_in(2)) make_causal(s);
  if (dice.one_in(4)) s.k.row += dice.upto(8);
  return problem;
}

Problem random_shape(Dice& dice) {
  constexpr std::array kMakers = {random_softmax, random_matmul, random_sdpa};
  return dice.of(kMakers)(dice);
}

Problem random_problem(Dice& dice, int threads) {
  Problem problem = with_dtype(random_shape(dice), dice.of(kDTypes));
  if (dice.one_in(4)) problem.out_dtype = DType::f32;
  problem.threads = threads;
  return problem;
}

Rule random_rule(Dice& dice, Op op) {
  Rule rule;
  while (dice.one_in(2)) {
    Range range{.axis = dice.of(kAxes), .low = std::nullopt, .high = std::nullopt};  // of another operation's axes too
    const int64_t a = dice.size(), b = dice.size();
    if (!dice.one_in(3)) range.low = std::min(a, b);
    if (!dice.one_in(3)) range.high = std::max(a, b);
    rule.when.push_back(range);
  }
  const Variant& variant = dice.of(variants(op));
  rule.use = dice.one_in(10) ? "cpu_gone" : std::string(variant.name);
  if (dice.one_in(2)) rule.tuning = dice.one_in(10) ? "gone=1" : to_string(dice.of(variant.tunings));
  rule.evidence.margin = 0.01 * static_cast<double>(dice.upto(9));
  return rule;
}

ProfileLevel random_profile(Dice& dice, Source source, int threads) {
  ProfileLevel level{.source = source, .path = "/p.json", .profile = {}};
  for (int i = 0; i < 40; ++i) {
    RuleKey key = rule_key(random_problem(dice, dice.one_in(4) ? 5 : threads), Numerics::fast);
    if (dice.one_in(4)) key.numerics = Numerics::run_to_run;
    RuleList list{std::move(key), {}};
    for (int64_t rules = dice.upto(12); rules > 0; --rules) {
      Rule rule = random_rule(dice, list.key.op);
      // Neighbours that begin alike, as the leaves of a tree do.
      if (!list.rules.empty() && dice.one_in(2)) {
        const auto& before = list.rules.back().when;
        const auto shared = before.begin() + dice.upto(static_cast<int64_t>(before.size()));
        rule.when.insert(rule.when.begin(), before.begin(), shared);
      }
      list.rules.push_back(std::move(rule));
    }
    level.profile.lists.push_back(std::move(list));
  }
  return level;
}

Environment random_environment(Dice& dice) {
  Environment e;
  if (dice.one_in(6)) e.variants["softmax"] = dice.one_in(2) ? "block" : "cpu_onednn";
  if (dice.one_in(6)) e.variants["matmul"] = dice.one_in(2) ? "mlx" : "gemv";
  if (dice.one_in(6)) e.variants["sdpa"] = "cpu_reference";
  if (dice.one_in(4)) e.limits["METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD"] = dice.size();
  if (dice.one_in(4)) e.limits["METALLIC_MATMUL_SMALLN_MAX_N"] = dice.upto(32);
  if (dice.one_in(4)) e.limits["METALLIC_MATMUL_SIMD_M_MIN"] = dice.size();
  e.numerics = dice.of(std::array{Numerics::fast, Numerics::fast, Numerics::run_to_run, Numerics::batch_invariant});
  return e;
}

// The first rule that matches by its own ranges, tried in order, and that a candidate of its variant can follow; from the rules
// themselves, without the table.
std::string one_by_one(const Problem& problem, const SelectionInputs& in, const Decision& decision) {
  const auto candidate = [&](const Variant& variant, const Tuning& tuning) -> const Candidate& {
    return *std::ranges::find_if(decision.candidates,
                                 [&](const Candidate& c) { return c.variant == &variant && c.tuning == tuning; });
  };
  // What the record says of rules, rather than of candidates, is no reason why one cannot run.
  const auto runs = [&](const Candidate& c) {
    return c.rejected.empty() || c.rejected.starts_with("the rule that fired") || c.rejected.starts_with("the reference runs");
  };
  const auto levels = rule_levels(rule_key(problem, in.numerics()), in);
  EXPECT_TRUE(levels) << levels.error().message;
  for (const Level& level : *levels)
    for (const Rule& rule : level.rules) {
      const Variant* variant = find_variant(problem.op(), rule.use);
      if (!matches(rule, problem) || !variant || variant->backend() != in.device.backend ||
          (!level.family.empty() && variant->family != level.family))
        continue;
      std::vector<Tuning> points(variant->tunings.begin(), variant->tunings.end());
      points.insert(points.begin(), variant->prefer(problem, in.device));
      for (const Tuning& point : points)
        if ((rule.tuning.empty() || to_string(point) == rule.tuning) && runs(candidate(*variant, point)))
          return fmt::format("{} [{}]", to_string(*variant, point), name(level.source));
    }
  return "nothing";
}

TEST(Choice, EqualsTheDecisionAndTheRulesTriedOneByOne) {
  std::map<Source, int> sources;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    Dice dice(seed);
    const DeviceInfo device{.id = "cpu", .backend = "cpu", .model = "test", .kind = CpuInfo{.isa = "AVX3", .cores = 2}};
    const int threads = 1 + static_cast<int>(dice.upto(3));
    const Environment environment = random_environment(dice);
    CallOptions options;
    if (dice.one_in(4)) options.numerics = Numerics::run_to_run;
    std::vector<ProfileLevel> profiles;
    if (dice.one_in(2)) profiles.push_back(random_profile(dice, Source::caller, threads));
    if (dice.one_in(2)) profiles.push_back(random_profile(dice, Source::user, threads));
    if (dice.one_in(2)) profiles.push_back(random_profile(dice, Source::family, threads + 1));
    if (dice.one_in(2)) std::ranges::move(built_in_levels(built_in_profiles(), device), std::back_inserter(profiles));
    const SelectionInputs in{device, environment, options, profiles};
    RuleTables tables(in);
    for (int i = 0; i < 100; ++i) {
      const Problem problem = random_problem(dice, threads);
      const std::string what = fmt::format("seed {}: {} {}", seed, label(problem), name(problem.dtype));
      ASSERT_TRUE(validate(problem)) << what;
      const auto table = tables.of(problem);
      ASSERT_TRUE(table) << table.error().message;
      ASSERT_EQ((*table)->key(), rule_key(problem, in.numerics())) << what;
      const auto choice = choose(problem, **table, device);
      const auto decision = select(problem, in);
      ASSERT_TRUE(choice && decision) << what;
      EXPECT_EQ(choice->variant, decision->variant) << what;
      EXPECT_EQ(*choice->tuning, decision->tuning) << what;
      EXPECT_EQ(choice->source, decision->source) << what;
      EXPECT_EQ(fmt::format("{} [{}]", to_string(*choice->variant, *choice->tuning), name(choice->source)),
                one_by_one(problem, in, *decision))
          << what << ": " << decision->rule;
      ++sources[choice->source];
    }
  }
  for (const Source source : {Source::environment, Source::caller, Source::user, Source::family, Source::defaults})
    EXPECT_GT(sources[source], 20) << name(source) << " was hardly tried";
}

TEST(Choice, AVariantOfTheCallIsForced) {
  const DeviceInfo device{.id = "cpu", .backend = "cpu", .kind = CpuInfo{.isa = "AVX3", .cores = 2}};
  const Environment environment;
  const CallOptions options{.variant = "cpu_block", .numerics = std::nullopt};
  const Problem problem = softmax_problem(4, 64);
  const auto rules = RuleTable::compile(rule_key(problem, Numerics::fast), {device, environment, options, {}});
  ASSERT_TRUE(rules) << rules.error().message;
  const auto choice = choose(problem, *rules, device);
  ASSERT_TRUE(choice);
  EXPECT_EQ(choice->variant->name, "cpu_block");
  EXPECT_EQ(choice->source, Source::options);
}

}  // namespace
}  // namespace metallic
