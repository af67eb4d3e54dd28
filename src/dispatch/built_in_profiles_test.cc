// SPDX-License-Identifier: Apache-2.0
// Built-in profiles: those that are there can be used, and which apply to a device, for devices that need not be there.
#include "dispatch/built_in_profiles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dispatch/context.h"
#include "dispatch/profile_store.h"
#include "ops/label.h"
#include "ops/softmax/shape.h"

namespace metallic {
std::vector<std::pair<std::string_view, std::string_view>> built_in_profile_texts();
namespace {

using testing::HasSubstr;
using testing::StartsWith;

DeviceInfo machine(std::string model, std::string isa, bool amx = false) {
  return {
      .id = "cpu", .backend = "cpu", .model = std::move(model), .kind = CpuInfo{.isa = std::move(isa), .amx = amx, .cores = 8}};
}

RuleList list(int threads, std::string use, std::string tuning = "", Numerics numerics = Numerics::fast) {
  return {{.op = kSoftmax, .threads = threads, .numerics = numerics, .layout = "contiguous"},
          {{.use = std::move(use), .tuning = std::move(tuning), .evidence = {.margin = 0.5}}}};
}

BuiltInProfile built_in(std::string name, DeviceInfo device, std::vector<RuleList> lists) {
  Profile profile{.device = std::move(device), .lists = std::move(lists)};
  profile.fingerprint = fingerprint(profile.device);
  return {std::move(name), std::move(profile)};
}

// Softmax of any shape, with each family's rule telling it apart from the others.
std::vector<BuiltInProfile> one_of_each_family() {
  return {built_in("sse", machine("Old", "SSE4"), {list(2, "cpu_vec", "unroll=1")}),
          built_in("avx2", machine("Mid", "AVX2"), {list(2, "cpu_vec", "unroll=4")}),
          built_in("avx512", machine("New", "AVX3"), {list(2, "cpu_block", "segment=1024")}),
          built_in("amx", machine("Newest", "AVX3_DL", true), {list(2, "cpu_block", "segment=4096")}),
          built_in("neon", machine("Arm", "NEON"), {list(2, "cpu_reference")})};
}

Decision decide(const std::vector<BuiltInProfile>& available, const DeviceInfo& device, int threads = 2,
                std::vector<ProfileLevel> above = {}, Numerics numerics = Numerics::fast) {
  Problem problem = *parse_label("rows64_seqk256");
  problem.threads = threads;
  for (ProfileLevel& level : built_in_levels(available, device)) above.push_back(std::move(level));
  Environment environment;
  environment.numerics = numerics;
  auto decision = select(problem, {device, environment, CallOptions{}, above});
  EXPECT_TRUE(decision) << decision.error().message;
  return *decision;
}

std::string chosen(const Decision& decision) { return to_string(*decision.variant, decision.tuning); }

TEST(BuiltInProfiles, ThoseThatAreThereParseAndNameWhatThisBuildHas) {
  const auto texts = built_in_profile_texts();
  EXPECT_EQ(built_in_profiles().size(), texts.size());
  for (const auto& [name, text] : texts) {
    const auto profile = parse_profile(text, name);
    ASSERT_TRUE(profile) << profile.error().message;
    EXPECT_EQ(profile->fingerprint, fingerprint(profile->device)) << name;
    EXPECT_TRUE(profile->paired) << name;
    EXPECT_FALSE(profile->lists.empty()) << name;
    EXPECT_TRUE(stale_entries(*profile).empty()) << name;
  }
}

TEST(BuiltInProfiles, EachFamilyHasItsOwn) {
  const auto profiles = one_of_each_family();
  const auto of = [&](const char* isa, bool amx = false) { return chosen(decide(profiles, machine("Mine", isa, amx))); };
  EXPECT_EQ(of("SSE2"), "cpu_vec@unroll=1");
  EXPECT_EQ(of("AVX2"), "cpu_vec@unroll=4");
  EXPECT_EQ(of("AVX3"), "cpu_block@segment=1024");
  EXPECT_EQ(of("AVX3_ZEN4"), "cpu_block@segment=1024");
  EXPECT_EQ(of("AVX3", true), "cpu_block@segment=4096");
  EXPECT_EQ(of("NEON"), "cpu_reference");
  EXPECT_EQ(of("SVE2"), "cpu_reference") << "which contains NEON";
  EXPECT_EQ(decide(profiles, machine("Mine", "EMU128")).source, Source::defaults);
}

TEST(BuiltInProfiles, WhereAFamilyHasNoneTheNearestThatItsIsaContainsStandsIn) {
  auto profiles = one_of_each_family();
  profiles.erase(profiles.begin() + 2, profiles.begin() + 4);
  const Decision decision = decide(profiles, machine("Mine", "AVX3", true));
  EXPECT_EQ(chosen(decision), "cpu_vec@unroll=4");
  EXPECT_EQ(decision.source, Source::family);
  EXPECT_THAT(decision.rule, HasSubstr("(built-in profile of family x86_avx2, measured on Mid with 2 threads)"));
  EXPECT_EQ(decision.margin, std::nullopt) << "what another machine gained is not this one's margin";
  profiles.erase(profiles.begin());
  EXPECT_EQ(decide(profiles, machine("Mine", "SSE4")).source, Source::defaults) << "an ISA does not contain wider ones";
}

TEST(BuiltInProfiles, AnEqualDeviceComesBeforeItsFamily) {
  auto profiles = one_of_each_family();
  profiles.push_back(built_in("mine", machine("Mine", "AVX3"), {list(2, "cpu_vec", "unroll=1")}));
  const Decision here = decide(profiles, machine("Mine", "AVX3"));
  EXPECT_EQ(here.source, Source::device);
  EXPECT_EQ(chosen(here), "cpu_vec@unroll=1");
  EXPECT_THAT(here.rule, HasSubstr("(built-in profile mine of this device)"));
  EXPECT_EQ(here.margin, 0.5);
  EXPECT_EQ(decide(profiles, machine("Other", "AVX3")).source, Source::family);
  const Decision more = decide(profiles, machine("Mine", "AVX3"), 4);
  EXPECT_EQ(more.source, Source::family) << "a device's own rules hold for the number of threads they were measured with";
  EXPECT_EQ(decide(profiles, machine("Mine", "AVX3"), 2, {{Source::user, "/p.json", {.lists = {list(2, "cpu_block")}}}}).source,
            Source::user);
}

TEST(BuiltInProfiles, OfSeveralTheModelsOwnComesFirst) {
  auto profiles = one_of_each_family();
  profiles.push_back(built_in("small", machine("Mine", "AVX3"), {list(2, "cpu_vec", "unroll=1")}));
  profiles.push_back(built_in("large", machine("Mine", "AVX3"), {list(2, "cpu_vec", "unroll=4")}));
  profiles.back().profile.model = "llama-3.1-70b";
  const auto first = [&](std::string_view model) {
    const auto levels = built_in_levels(profiles, machine("Mine", "AVX3"), model);
    EXPECT_EQ(levels.at(0).source, Source::device);
    return levels.at(0).path;
  };
  EXPECT_EQ(first(""), "built-in profile small of this device");
  EXPECT_EQ(first("gpt2"), "built-in profile small of this device");
  EXPECT_EQ(first("llama-3.1-70b"), "built-in profile large of this device");
}

TEST(BuiltInProfiles, TheNearestNumberOfThreadsOfAFamilyCounts) {
  const std::vector<BuiltInProfile> profiles = {
      built_in("small", machine("Small", "AVX2"), {list(1, "cpu_vec", "unroll=1"), list(4, "cpu_vec", "unroll=4")}),
      built_in("large", machine("Large", "AVX2"), {list(32, "cpu_block", "segment=1024"), list(4, "cpu_block", "segment=4096")})};
  const auto at = [&](int threads) { return chosen(decide(profiles, machine("Mine", "AVX2"), threads)); };
  EXPECT_EQ(at(1), "cpu_vec@unroll=1");
  EXPECT_EQ(at(3), "cpu_vec@unroll=4");
  EXPECT_EQ(at(4), "cpu_vec@unroll=4") << "of two equally near ones the first";
  EXPECT_EQ(at(16), "cpu_block@segment=1024") << "by ratio: 32 is twice 16, which is four times 4";
  EXPECT_EQ(at(512), "cpu_block@segment=1024");
  EXPECT_THAT(decide(profiles, machine("Mine", "AVX2"), 512).rule, HasSubstr("measured on Large with 32 threads"));
}

TEST(BuiltInProfiles, StaleRulesArePassedOver) {
  auto profiles = one_of_each_family();
  profiles[1].profile.lists[0].rules.insert(profiles[1].profile.lists[0].rules.begin(), {.use = "cpu_gone"});
  const Decision decision = decide(profiles, machine("Mine", "AVX2"));
  EXPECT_EQ(decision.source, Source::family);
  ASSERT_EQ(decision.refused.size(), 1u);
  EXPECT_THAT(decision.refused[0].what, AllOf(StartsWith("built-in profile of family x86_avx2"), HasSubstr("cpu_gone")));
  profiles[1].profile.lists[0].rules.pop_back();
  EXPECT_EQ(decide(profiles, machine("Mine", "AVX2")).source, Source::defaults);
}

TEST(BuiltInProfiles, FastRulesServeOtherNumericsAsFarAsTheseAdmit) {
  const Decision decision = decide(one_of_each_family(), machine("Mine", "AVX2"), 2, {}, Numerics::run_to_run);
  EXPECT_EQ(decision.source, Source::family);
}

TEST(BuiltInProfiles, AContextSaysWhoseRulesItTakes) {
  ASSERT_FALSE(built_in_profiles().empty());
  const BuiltInProfile& real = built_in_profiles().front();
  DeviceInfo similar = real.profile.device;
  similar.model = "Another";
  std::string lines;
  const auto make = [&](const DeviceInfo& device, std::string profile) {
    lines.clear();
    auto context = Context::create({.threads = 2,
                                    .environment = [=](std::string_view name) -> std::optional<std::string> {
                                      if (name == "METALLIC_LOG_LEVEL") return "info";
                                      if (name == "METALLIC_PROFILE") return profile;
                                      return std::nullopt;
                                    },
                                    .device_info = device,
                                    .log = [&](std::string_view, std::string_view text) { lines += text; }});
    EXPECT_TRUE(context) << context.error().message;
    std::vector<Source> sources;
    for (const ProfileLevel& level : (*context)->profiles()) sources.push_back(level.source);
    return sources;
  };
  EXPECT_THAT(make(real.profile.device, ""), testing::Contains(Source::device));
  EXPECT_EQ(lines, "") << "its own rules need no notice";
  EXPECT_THAT(make(similar, ""), testing::Each(Source::family));
  EXPECT_THAT(lines, HasSubstr("built-in profile of family " + family(similar) + ", measured on " + real.profile.device.model));
  EXPECT_TRUE(make(similar, "none").empty());
  EXPECT_EQ(lines, "");
}

}  // namespace
}  // namespace metallic
