// SPDX-License-Identifier: Apache-2.0
// Selection as a pure function: precedence, refusals and records, for devices that need not be there.
#include "dispatch/select.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "device/peers/cpu_libraries.h"
#include "dispatch/context.h"
#include "dispatch/profile_store.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/registry.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

DeviceInfo device() { return {.id = "cpu", .backend = "cpu", .model = "test", .kind = CpuInfo{.isa = "AVX2", .cores = 2}}; }

struct Case {
  std::vector<Library> libraries{};
  Environment environment;
  CallOptions options;
  std::vector<ProfileLevel> profiles;

  Decision decide(const char* label, int threads = 2) const {
    Problem problem = *parse_label(label);
    problem.threads = threads;
    DeviceInfo here = device();
    here.libraries = libraries;
    auto decision = select(problem, {here, environment, options, profiles});
    EXPECT_TRUE(decision) << decision.error().message;
    return *decision;
  }
  std::string chosen(const char* label) const {
    const Decision decision = decide(label);
    return to_string(*decision.variant, decision.tuning);
  }
};

ProfileLevel level(Source source, std::vector<Rule> rules, std::string layout = "contiguous", Op op = kSoftmax) {
  ProfileLevel level{.source = source, .path = "/p.json", .profile = {}};
  level.profile.lists = {{{.op = op, .threads = 2, .layout = std::move(layout)}, std::move(rules)}};
  return level;
}

TEST(Select, FollowsTheGuidesDefaults) {
  const Case situation;
  EXPECT_EQ(situation.decide("rows64_seqk1024").variant->name, "cpu_vec");
  EXPECT_EQ(situation.decide("rows64_seqk1025").variant->name, "cpu_block");
  EXPECT_EQ(situation.decide("4096x4096x1").variant->name, "cpu_gemv");
  EXPECT_EQ(situation.decide("4096x4096x16").variant->name, "cpu_gemv");
  EXPECT_EQ(situation.chosen("4096x4096x17"), "cpu_gemm@pack=1");
  EXPECT_EQ(situation.decide("16x4096x4096_tb").variant->name, "cpu_gemv");
  EXPECT_EQ(situation.chosen("63x64x32"), "cpu_gemm@pack=0");
  EXPECT_EQ(situation.chosen("63x64x32_tb"), "cpu_gemm@pack=1") << "what the unpacked path rejects";
  EXPECT_EQ(situation.decide("rows64_seqk64").source, Source::defaults);
}

TEST(Select, EnvironmentForcesAVariant) {
  Case situation;
  situation.environment.variants["softmax"] = "block";
  const Decision decision = situation.decide("rows64_seqk256");
  EXPECT_EQ(decision.variant->name, "cpu_block");
  EXPECT_EQ(decision.source, Source::environment);
  EXPECT_EQ(decision.rule, "forced by METALLIC_SOFTMAX_VARIANT=block");
  situation.environment.variants["softmax"] = "cpu_vec";
  EXPECT_EQ(situation.decide("rows64_seqk9999").variant->name, "cpu_vec");
  situation.environment.variants["matmul"] = "mlx";
  EXPECT_EQ(situation.decide("4096x4096x1").variant->name, "cpu_gemm");
  situation.environment.variants["matmul"] = "gemv";
  EXPECT_EQ(situation.decide("4096x4096x8").variant->name, "cpu_gemv");
}

TEST(Select, AForcedVariantThatRejectsIsRefusedWithItsReason) {
  Case situation;
  situation.environment.variants["matmul"] = "gemv";
  const Decision decision = situation.decide("512x512x64");
  EXPECT_EQ(decision.variant->name, "cpu_gemm");
  EXPECT_EQ(decision.source, Source::defaults);
  ASSERT_EQ(decision.refused.size(), 1u);
  EXPECT_THAT(decision.refused[0].what, testing::HasSubstr("METALLIC_MATMUL_BACKEND=gemv: cpu_gemv"));
  EXPECT_TRUE(decision.refused[0].unexpected);
}

TEST(Select, AThresholdReplacesTheRulesOfItsOperation) {
  Case situation;
  situation.profiles = {level(Source::user, {{.use = "cpu_vec"}})};
  EXPECT_EQ(situation.decide("rows64_seqk256").variant->name, "cpu_vec");
  situation.environment.limits["METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD"] = 100;
  const Decision decision = situation.decide("rows64_seqk256");
  EXPECT_EQ(decision.variant->name, "cpu_block");
  EXPECT_EQ(decision.source, Source::environment);
  EXPECT_NE(decision.rule.find("METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD=100"), std::string::npos);
  situation.environment.variants["softmax"] = "vec";
  EXPECT_EQ(situation.decide("rows64_seqk256").variant->name, "cpu_vec") << "a forced variant beats a threshold";
  situation.environment.limits["METALLIC_MATMUL_SMALLN_MAX_N"] = 4;
  EXPECT_EQ(situation.decide("4096x4096x4").variant->name, "cpu_gemv");
  EXPECT_EQ(situation.decide("4096x4096x5").variant->name, "cpu_gemm");
}

TEST(Select, LevelsComeInOrderOfPrecedence) {
  Case situation;
  situation.profiles = {level(Source::caller, {{.use = "cpu_block", .tuning = "segment=1024"}}),
                        level(Source::user, {{.use = "cpu_vec"}})};
  EXPECT_EQ(situation.chosen("rows64_seqk64"), "cpu_block@segment=1024");
  EXPECT_EQ(situation.decide("rows64_seqk64").source, Source::caller);
  situation.options.variant = "cpu_vec";
  EXPECT_EQ(situation.decide("rows64_seqk64").source, Source::options);
  situation.environment.variants["softmax"] = "block";
  EXPECT_EQ(situation.decide("rows64_seqk64").source, Source::environment);
  EXPECT_EQ(Case{.profiles = {level(Source::user, {{.use = "cpu_block"}}, "contiguous_causal")}}.decide("rows64_seqk64").source,
            Source::defaults)
      << "another layout has rules of its own";
  situation.options.variant.clear();
  EXPECT_EQ(situation.decide("4x4x4").source, Source::defaults) << "and so has another operation";
}

TEST(Select, WhatIsPassedOverByDesignIsExpected) {
  Case situation;
  const Rule kept{.use = "cpu_gemm", .tuning = "pack=0", .evidence = {.note = "not measured"}};
  situation.profiles = {level(Source::user, {kept}, "nt", kMatmul)};
  const Decision without = situation.decide("40x50x40_tb");
  EXPECT_FALSE(without.refused.empty()) << "pack=0 reads rows of B";
  for (const Refusal& refused : without.refused) EXPECT_FALSE(refused.unexpected) << refused.what;
  situation.profiles = {level(Source::user, {{.use = "cpu_gemv", .evidence = {.samples = 9}}}, "nn", kMatmul)};
  situation.environment.numerics = Numerics::batch_invariant;
  const Decision invariant = situation.decide("64x64x8");
  EXPECT_EQ(invariant.variant->name, "cpu_gemm");
  for (const Refusal& refused : invariant.refused) EXPECT_FALSE(refused.unexpected) << refused.what;
}

TEST(Select, StaleRulesAreSkippedOneByOne) {
  Case situation;
  situation.profiles = {
      level(Source::user,
            {{.use = "cpu_gone"}, {.use = "cpu_vec", .tuning = "unroll=77"}, {.use = "cpu_block", .tuning = "segment=4096"}})};
  const Decision decision = situation.decide("rows64_seqk64");
  EXPECT_EQ(to_string(*decision.variant, decision.tuning), "cpu_block@segment=4096");
  EXPECT_EQ(decision.source, Source::user);
  EXPECT_EQ(decision.refused.size(), 2u);
  for (const Refusal& refused : decision.refused) EXPECT_TRUE(refused.unexpected) << refused.what;
  situation.profiles = {level(Source::user, {{.use = "cpu_gone"}})};
  EXPECT_EQ(situation.decide("rows64_seqk64").source, Source::defaults);
}

TEST(Select, EveryCandidateIsThereAndAllButOneHaveAReason) {
  const Decision decision = Case{}.decide("4096x4096x64_tb");
  size_t points = 0, chosen = 0;
  for (const Variant& variant : variants(kMatmul))
    if (variant.backend() == "cpu") points += variant.tunings.size();
  EXPECT_EQ(decision.candidates.size(), points);
  for (const Candidate& candidate : decision.candidates) chosen += candidate.rejected.empty();
  EXPECT_EQ(chosen, 1u);
}

TEST(Select, BatchInvariantGivesOneReductionForAllShapes) {
  Case situation;
  situation.environment.numerics = Numerics::batch_invariant;
  std::optional<std::string> id;
  for (const char* label : {"4096x512x1", "4096x512x7", "64x512x64", "3x512x3", "4096x512x64_tb", "1x512x4096_tb"}) {
    const Decision decision = situation.decide(label);
    const auto this_id = decision.variant->reduction_id(decision.problem, decision.tuning, device());
    ASSERT_TRUE(this_id) << label;
    if (!id) id = this_id;
    EXPECT_EQ(this_id, id) << label;
  }
}

// The built-in rules name cpu_block for long rows, which sums in an order of its own.
TEST(Select, BatchInvariantDecidesWhereTheRulesChoiceIsRefused) {
  Case situation;
  situation.environment.numerics = Numerics::batch_invariant;
  for (const char* label : {"rows4_seqk64", "rows4_seqk5000", "batch2_seqq3_seqk5000_causal"})
    EXPECT_EQ(situation.decide(label).variant->name, "cpu_vec") << label;
  for (const char* label : {"batch1_h8kv2_seqq1_seqk5000_d64_causal", "batch1_h8kv8_seqq64_seqk64_d64"})
    EXPECT_EQ(situation.decide(label).variant->name, "cpu_materialized") << label;
}

TEST(Select, AttentionGoesByItsQueries) {
  const Case situation;
  for (const char* label : {"batch1_h8kv2_seqq1_seqk5000_d64_causal", "batch3_h4kv4_seqq16_seqk20_d32"})
    EXPECT_EQ(situation.decide(label).variant->name, "cpu_decode") << label;
  for (const char* label : {"batch1_h8kv2_seqq17_seqk5000_d64_causal", "batch1_h8kv8_seqq512_seqk512_d128"})
    EXPECT_EQ(situation.decide(label).variant->name, "cpu_flash") << label;
}

TEST(Select, UnknownNamesListTheAllowedOnes) {
  Environment environment;
  environment.variants["softmax"] = "fast";
  const auto status = check_names(environment, device());
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().message.find("use auto, vec, block, cpu_block"), std::string::npos) << status.error().message;
}

// For tests that must not depend on which profiles are built in.
DeviceInfo of_no_family() {
  DeviceInfo unknown = device();
  unknown.cpu().isa = "of the test";
  return unknown;
}

TEST(Context, ReadsItsOwnEnvironmentAndProfiles) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "select_test";
  std::filesystem::remove_all(folder);
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    return name == "XDG_DATA_HOME" ? std::optional(folder.native()) : std::nullopt;
  };
  std::vector<std::string> warnings;
  const auto make = [&](std::string model) {
    auto context = Context::create({.model = std::move(model),
                                    .threads = 2,
                                    .environment = lookup,
                                    .device_info = of_no_family(),
                                    .log = [&](std::string_view, std::string_view text) { warnings.emplace_back(text); }});
    EXPECT_TRUE(context) << context.error().message;
    return std::move(*context);
  };
  EXPECT_EQ(make("")->decide(*parse_label("rows64_seqk64"))->source, Source::defaults);
  Profile profile = level(Source::user, {{.use = "cpu_block", .tuning = "segment=1024"}}).profile;
  profile.fingerprint = fingerprint(of_no_family());
  profile.device = of_no_family();
  profile.model = "some-model";
  ASSERT_TRUE(install_profile(profile, of_no_family(), lookup));
  EXPECT_EQ(make("")->decide(*parse_label("rows64_seqk64"))->source, Source::user);
  EXPECT_EQ(make("some-model")->decide(*parse_label("rows64_seqk64"))->source, Source::user);
  EXPECT_EQ(make("other-model")->decide(*parse_label("rows64_seqk64"))->source, Source::defaults);
  EXPECT_TRUE(warnings.empty());

  profile.fingerprint = "another-device";
  ASSERT_TRUE(install_profile(profile, of_no_family(), lookup));
  EXPECT_EQ(make("")->decide(*parse_label("rows64_seqk64"))->source, Source::defaults);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("another device"), std::string::npos) << warnings[0];
}

TEST(Select, LibrariesRunOnlyWhereTheyAreLoadedAndNothingIsPromised) {
  Case situation;
  situation.profiles = {level(Source::user, {{.use = "cpu_openblas"}}, "nn", kMatmul)};
  const Decision without = situation.decide("64x64x64");
  EXPECT_EQ(without.variant->name, "cpu_gemm");
  ASSERT_FALSE(without.refused.empty());
  EXPECT_EQ(without.refused.front().what, "/p.json: cpu_openblas: library openblas is not loaded");
  situation.libraries = {{"openblas", "0.3.21"}};
  EXPECT_EQ(situation.decide("64x64x64").variant->name, "cpu_openblas");
  for (const char* text : {"64x0x64", "64x64x64_a0_b1"}) EXPECT_NE(situation.decide(text).variant->name, "cpu_openblas") << text;
  situation.environment.numerics = Numerics::run_to_run;
  EXPECT_EQ(situation.decide("64x64x64").variant->name, "cpu_gemm");
  EXPECT_EQ(Case{.libraries = situation.libraries}.decide("64x64x64").variant->name, "cpu_gemm") << "no built-in rule has them";
}

TEST(Select, RulesOfALibrarysOtherVersionAreStale) {
  const std::vector<Rule> rules = {{.when = {{.axis = Axis::n, .high = 4}}, .use = "cpu_blis"},
                                   {.when = {{.axis = Axis::n, .high = 16}}, .use = "cpu_gemv"},
                                   {.when = {{.axis = Axis::n, .high = 64}}, .use = "cpu_openblas"},
                                   {.use = "cpu_blis"}};
  Profile measured = level(Source::user, rules, "nn", kMatmul).profile;
  measured.device.libraries = {{"blis", "0.9.0"}, {"openblas", "0.3.21"}};
  const auto dropped = [&](std::vector<Library> now, size_t left) {
    DeviceInfo here = device();
    here.libraries = std::move(now);
    Profile profile = measured;
    const auto lines = drop_stale_libraries(profile, here);
    EXPECT_EQ(profile.lists.front().rules.size(), left);
    return lines;
  };
  EXPECT_TRUE(dropped(measured.device.libraries, 4).empty());
  EXPECT_EQ(dropped({{"openblas", "0.3.21"}, {"blis", "0.8.1"}}, 2),
            std::vector<std::string>{R"(measured with blis "0.9.0", this machine has "0.8.1": 2 rules are ignored)"});
  EXPECT_EQ(dropped({{"blis", "0.9.0"}}, 3),
            std::vector<std::string>{R"(measured with openblas "0.3.21", this machine has none: 1 rule is ignored)"});
  EXPECT_EQ(dropped({}, 1).size(), 2u);
}

TEST(Context, LoadsLibrariesOnlyWhenAsked) {
  const auto loaded = [](std::string forced, bool asked) {
    const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
      if (name == "METALLIC_PROFILE") return "none";
      return name == "METALLIC_MATMUL_BACKEND" ? std::optional(forced) : std::nullopt;
    };
    auto context = Context::create({.threads = 1, .libraries = asked, .environment = lookup});
    EXPECT_TRUE(context) << context.error().message;
    return (*context)->device().libraries;
  };
  EXPECT_TRUE(loaded("auto", false).empty());
  EXPECT_TRUE(loaded("cpu_gemm", false).empty());
  EXPECT_EQ(loaded("auto", true), cpu::libraries());
  EXPECT_EQ(loaded("cpu_blis", false), cpu::libraries());
}

// A GPU is chosen for like any device, on machines without one too.
TEST(Select, KnowsWhatAGpuRuns) {
  if (!find_variant(kMatmul, "cuda_gemv")) GTEST_SKIP() << "this build has no CUDA";
  const DeviceInfo h200{.id = "cuda:0",
                        .backend = "cuda",
                        .model = "NVIDIA H200",
                        .kind = CudaInfo{.sm_version = 90, .num_sms = 132, .smem_per_block = 227 << 10, .l2_bytes = 60 << 20}};
  std::map<std::pair<Op, int64_t>, std::set<std::string>> orders;  // of each K, batch_invariant
  const auto chosen = [&](const char* text, const CallOptions& options = {}) {
    Problem problem = with_dtype(*parse_label(text), DType::bf16);
    const auto decision = select(problem, {h200, Environment{}, options, {}});
    EXPECT_TRUE(decision) << decision.error().message;
    if (options.numerics == Numerics::batch_invariant) {
      const auto id = decision->variant->reduction_id(decision->problem, decision->tuning, h200);
      EXPECT_TRUE(id) << text;
      orders[{problem.op(), problem.op() == kMatmul ? problem.as<MatmulShape>().k : problem.as<SoftmaxShape>().seq_k}].insert(
          id.value_or(""));
    }
    for (const Candidate& candidate : decision->candidates) EXPECT_EQ(candidate.variant->backend(), "cuda");
    return std::string(decision->variant->name);
  };
  for (const char* text : {"rows64_seqk1000", "rows64_seqk262144"}) EXPECT_EQ(chosen(text), "cuda_vec");
  EXPECT_EQ(chosen("rows2_seqk300000"), "cuda_block");
  EXPECT_EQ(chosen("8x4096x4096_tb"), "cuda_gemv_tma");
  EXPECT_EQ(chosen("4x4095x4096_tb"), "cuda_gemv");
  EXPECT_EQ(chosen("8x4095x4096_tb"), "cuda_gemm");
  EXPECT_EQ(chosen("4096x4096x4"), "cuda_gemv");  // rows of weights along K
  EXPECT_EQ(chosen("4x4096x4096"), "cuda_gemm");
  EXPECT_EQ(chosen("50x6905x15"), "cuda_gemv");
  EXPECT_EQ(chosen("100x200x4096_tb"), "cuda_gemm");
  EXPECT_EQ(chosen("100x4096x4096_tb"), "cuda_wgmma");
  EXPECT_EQ(chosen("300x4096x4096"), "cuda_gemm");
  const CallOptions invariant{.variant = "", .numerics = Numerics::batch_invariant};
  for (const char* text : {"1x4096x4097_tb", "16x4096x4097_tb", "200x4096x4097_tb"})
    EXPECT_EQ(chosen(text, invariant), "cuda_wgmma");
  for (const char* text : {"1x4095x4097_tb", "16x4095x4097_tb", "200x4095x4097_tb", "4097x4000x3"})
    EXPECT_EQ(chosen(text, invariant), "cuda_gemm") << text;
  for (const char* text : {"rows1_seqk4096", "rows256_seqk4096", "rows1_seqk262144", "rows4096_seqk262144"})
    EXPECT_EQ(chosen(text, invariant), "cuda_vec") << text;
  for (const char* text : {"rows1_seqk1001", "rows256_seqk1001", "rows1_seqk300000", "rows4096_seqk300000"})
    EXPECT_EQ(chosen(text, invariant), "cuda_block") << text;
  for (const auto& [of, ids] : orders) EXPECT_EQ(ids.size(), 1u) << name(of.first) << " " << of.second;
  DeviceInfo old = h200;
  old.cuda().sm_version = 75;
  EXPECT_FALSE(select(*parse_label("8x64x64"), {old, Environment{}, CallOptions{}, {}}));
}

}  // namespace
}  // namespace metallic
