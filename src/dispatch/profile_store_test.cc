// SPDX-License-Identifier: Apache-2.0
// Installed profiles: each install keeps what it replaces, and rollbacks go back and forth.
#include "dispatch/profile_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/file.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

namespace fs = std::filesystem;

class ProfileStore : public testing::Test {
 protected:
  ProfileStore() {
    std::string name = (fs::temp_directory_path() / "metallic_profile_store_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
  }
  ~ProfileStore() override { fs::remove_all(root_); }

  // A profile is told apart by its date.
  void install(const std::string& model, const std::string& date) const {
    Profile profile{.device = device_, .fingerprint = fingerprint(device_), .model = model, .date = date};
    const auto installed = install_profile(profile, device_, lookup());
    ASSERT_TRUE(installed) << installed.error().message;
  }
  void rollback() const {
    const auto back = rollback_profiles(device_, lookup());
    ASSERT_TRUE(back) << back.error().message;
  }
  std::string refusal() const {
    const auto back = rollback_profiles(device_, lookup());
    return back ? "" : back.error().message;
  }
  fs::path path(const std::string& model) const { return *profile_path(device_, model, lookup()); }
  // The date of the installed profile, or "none".
  std::string at(const std::string& model) const {
    const auto profile = load_profile(path(model), device_);
    if (profile) return profile->date;
    EXPECT_EQ(profile.error().code, Code::not_found) << profile.error().message;
    return "none";
  }
  Lookup lookup() const {
    return [root = root_.native()](std::string_view name) -> std::optional<std::string> {
      return name == "XDG_DATA_HOME" ? std::optional(root) : std::nullopt;
    };
  }

  DeviceInfo device_{.id = "cpu", .backend = "cpu", .model = "test", .kind = CpuInfo{.isa = "AVX2"}};
  fs::path root_;
};

TEST_F(ProfileStore, RollsBackAndForth) {
  EXPECT_NE(refusal().find("nothing in"), std::string::npos);
  install("a", "1");
  EXPECT_NE(refusal().find("nothing in"), std::string::npos) << "the first one replaced nothing";
  EXPECT_EQ(at("a"), "1");
  install("a", "2");
  rollback();
  EXPECT_EQ(at("a"), "1");
  EXPECT_EQ(at("any"), "1");
  rollback();
  EXPECT_EQ(at("a"), "2");
  EXPECT_EQ(at("any"), "2");
  install("a", "3");
  rollback();
  EXPECT_EQ(at("any"), "2") << "one generation is kept";
}

TEST_F(ProfileStore, WhatAProfileSaysNothingAboutStays) {
  const auto list = [](Op op, DType dtype, const char* use) {
    return RuleList{{.op = op, .dtype = dtype, .layout = "contiguous"}, {{.use = use}}};
  };
  const auto threshold = [](DType dtype, int64_t value) {
    return Threshold{.op = kSoftmax, .dtype = dtype, .layout = "contiguous", .name = "softmax_vec_block", .value = value};
  };
  Profile first{.device = device_, .fingerprint = fingerprint(device_), .model = "a"};
  first.device.libraries = {{"blis", "0.9.0"}};
  first.lists = {list(kSoftmax, DType::f32, "cpu_vec"), list(kSoftmax, DType::bf16, "cpu_vec"),
                 list(kSdpa, DType::f32, "cpu_materialized"), list(kMatmul, DType::f32, "cpu_gone")};
  first.thresholds = {threshold(DType::f32, 1), threshold(DType::bf16, 2)};
  ASSERT_TRUE(install_profile(first, device_, lookup()));
  Profile second = first;
  second.device.libraries.clear();
  second.lists = {list(kSoftmax, DType::f32, "cpu_block")};
  second.thresholds = {threshold(DType::f32, 3)};
  ASSERT_TRUE(install_profile(second, device_, lookup()));
  for (const char* model : {"a", "any"}) {
    const auto there = load_profile(path(model), device_);
    ASSERT_TRUE(there) << there.error().message;
    ASSERT_EQ(there->lists.size(), 4u);
    EXPECT_EQ(there->lists[0], second.lists[0]);
    EXPECT_EQ(there->lists[1], first.lists[1]);
    EXPECT_EQ(there->lists[2], first.lists[2]);
    EXPECT_TRUE(there->lists[3].rules.empty()) << "of a variant that this build does not have";
    ASSERT_EQ(there->thresholds.size(), 2u);
    EXPECT_EQ(there->thresholds[0].value, 3);
    EXPECT_EQ(there->thresholds[1].value, 2);
    EXPECT_EQ(there->device.libraries, first.device.libraries) << "by which its rules are judged";
  }
}

TEST_F(ProfileStore, AModelsFirstProfileGoesAndComesBack) {
  install("a", "1");
  install("a", "2");
  install("b", "3");
  rollback();
  EXPECT_EQ(at("a"), "2") << "the last install was not of this model";
  EXPECT_EQ(at("b"), "none");
  EXPECT_EQ(at("any"), "2");
  rollback();
  EXPECT_EQ(at("a"), "2");
  EXPECT_EQ(at("b"), "3");
  EXPECT_EQ(at("any"), "3");
  install("any", "4");
  rollback();
  EXPECT_EQ(at("any"), "3");
  EXPECT_EQ(at("b"), "3");
  rollback();
  EXPECT_EQ(at("any"), "4");
  EXPECT_EQ(at("b"), "3");
}

TEST_F(ProfileStore, SaysWhatARollbackWouldBringBack) {
  install("a", "1");
  install("b", "2");
  const auto replaced = rollback_profiles(device_, lookup(), "", /*dry_run=*/true);
  ASSERT_TRUE(replaced) << replaced.error().message;
  ASSERT_EQ(replaced->size(), 2u);
  EXPECT_EQ(replaced->at(0).model, "any");
  EXPECT_EQ(replaced->at(0).after->date, "1");
  EXPECT_EQ(replaced->at(0).path, path("any"));
  EXPECT_EQ(replaced->at(1).model, "b");
  EXPECT_FALSE(replaced->at(1).after);
}

TEST_F(ProfileStore, ABrokenPredecessorIsNotRestored) {
  install("a", "1");
  install("a", "2");
  ASSERT_TRUE(write_file(path("any").parent_path() / "previous" / "any.json", "{"));
  EXPECT_NE(refusal().find("any.json"), std::string::npos);
  EXPECT_EQ(at("any"), "2");
  EXPECT_EQ(at("a"), "2") << "all or none";
}

}  // namespace
}  // namespace metallic
