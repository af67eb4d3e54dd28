// SPDX-License-Identifier: Apache-2.0
// metallic apply, and the levels of profiles in explain and devices.
#include "testing/program.h"

#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file_lock.h"
#include "device/info.h"
#include "dispatch/built_in_profiles.h"
#include "dispatch/select.h"
#include "ops/matmul/shape.h"
#include "ops/softmax/shape.h"
#include "profile/profile.h"

namespace metallic::cli {
namespace {

// A profile of this machine with one softmax rule, as JSON.
std::string profile_with(std::string use, std::string tuning, std::string model = "any") {
  Profile profile{.device = cpu::device(), .model = std::move(model), .build = "b", .date = "2026-01-01T00:00:00Z"};
  profile.fingerprint = fingerprint(profile.device);
  profile.lists = {
      {{.op = kSoftmax, .threads = 2, .layout = "contiguous"}, {{.use = std::move(use), .tuning = std::move(tuning)}}}};
  profile.thresholds = {{.op = kSoftmax,
                         .threads = 2,
                         .layout = "contiguous",
                         .name = "softmax_vec_block",
                         .where = "rows ≤ 22",
                         .value = 1280,
                         .low = 1000,
                         .high = 1500,
                         .regret = 0.01},
                        {.op = kMatmul, .threads = 2, .layout = "nn", .name = "smalln_max_n", .value = int64_t{1} << 40}};
  return to_json(profile);
}

TEST_F(Program, ApplyRollsBackAndForth) {
  refuses({"apply", "--rollback"}, "no profile was installed before");
  write("vec.json", profile_with("cpu_vec", "unroll=4"));
  write("block.json", profile_with("cpu_block", "segment=4096", "my-model"));
  good({"apply", "vec.json"});
  refuses({"apply", "--rollback"}, "no profile was installed before");
  good({"apply", "block.json"});
  const auto chosen = [&] { return json({"explain", "rows4_seqk100", "--json"})["variant"].get<std::string>(); };
  EXPECT_EQ(chosen(), "cpu_block");

  const auto before = files();
  const std::string dry = good({"apply", "--rollback", "--dry-run"});
  EXPECT_TRUE(has(dry, "would restore " + installed().native())) << dry;
  EXPECT_TRUE(files() == before) << "a dry run writes nothing";
  write("other.json", profile_with("cpu_vec", "", "other"));
  refuses({"apply", "other.json", "--rollback"}, "the last install was not for model other");

  const std::string back = good({"apply", "--rollback"});
  EXPECT_TRUE(has(back, "- softmax f32 contiguous threads=2: otherwise: cpu_block@segment=4096")) << back;
  EXPECT_TRUE(has(back, "+ softmax f32 contiguous threads=2: otherwise: cpu_vec@unroll=4")) << back;
  EXPECT_TRUE(has(back, "restored " + installed().native())) << back;
  EXPECT_TRUE(has(back, "removed " + installed("my-model").native())) << back;
  EXPECT_EQ(chosen(), "cpu_vec");
  EXPECT_FALSE(fs::exists(installed("my-model")));

  good({"apply", "block.json", "--rollback"});
  EXPECT_EQ(chosen(), "cpu_block") << "a second rollback undoes the first";
  EXPECT_TRUE(fs::exists(installed("my-model")));
}

// Each of three types has a list in one file of its own.
TEST_F(Program, AppliesAtOnceLoseNoList) {
  const std::vector<std::string> types = {"f32", "f16", "bf16"};
  for (const std::string& type : types) {
    Json profile = Json::parse(profile_with("cpu_vec", "unroll=4", "my-model"));
    profile["rules"][0]["dtype"] = type;
    profile["thresholds"] = Json::array();
    write(type + ".json", profile.dump());
  }
  write("first.json", profile_with("cpu_block", "segment=4096", "my-model"));
  for (const bool with_rollback : {false, false, true, true, true}) {
    fs::remove_all(root_ / "data");
    good({"apply", "first.json"});
    std::vector<pid_t> all;
    for (const std::string& type : types) all.push_back(start({"apply", type + ".json"}));
    const pid_t back = with_rollback ? start({"apply", "--rollback"}) : -1;
    const auto code = [](pid_t child) {
      int status = 0;
      waitpid(child, &status, 0);
      return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    for (const pid_t apply : all) EXPECT_EQ(code(apply), 0);
    // The first profile has no predecessor: a rollback that comes before all others has nothing to do.
    const bool undone = with_rollback && code(back) == 0;
    std::set<std::string> there;
    const Json any = Json::parse(read(installed()));
    for (const Json& list : any["rules"])
      if (list["rules"][0]["use"] == "cpu_vec") there.insert(list["dtype"]);
    EXPECT_EQ(there.size(), undone ? 2 : 3) << "a rollback undoes one install";
    EXPECT_EQ(read(installed()), read(installed("my-model")));
    const auto left = fs::recursive_directory_iterator(installed().parent_path());
    EXPECT_EQ(std::distance(fs::begin(left), fs::end(left)), 5) << "two profiles, their predecessors and a folder";
  }
}

TEST_F(Program, NobodyWaitsForADeadWriterAndReadersForNone) {
  write("vec.json", profile_with("cpu_vec", "unroll=4"));
  good({"apply", "vec.json"});
  const fs::path lock = installed().parent_path() / ".any.json.lock";
  ASSERT_TRUE(write_file(lock, ""));
  good({"apply", "vec.json"});
  EXPECT_FALSE(fs::exists(lock)) << "left by a killed process";
  const auto held = FileLock::take(installed());
  ASSERT_TRUE(held);
  good({"explain", "rows4_seqk100"});
  EXPECT_TRUE(has(good({"apply", "vec.json", "--dry-run"}), "would write"));
}

TEST_F(Program, ApplyWritesConstantsForCAndCpp) {
  write("profile.json", profile_with("cpu_vec", ""));
  EXPECT_TRUE(has(good({"apply", "profile.json", "--defaults", "deep/tuned.h"}), "wrote 2 thresholds to deep/tuned.h"));
  EXPECT_FALSE(fs::exists(root_ / "data")) << "it installs nothing";
  const std::string header = read(path("deep/tuned.h"));
  EXPECT_TRUE(has(header, "95 % interval 1000 to 1500, regret 1.00 %")) << header;
  EXPECT_TRUE(has(header, "2026-01-01T00:00:00Z")) << header;

  const std::string softmax = "metallic_softmax_vec_block_f32_contiguous_threads2_rows_le_22",
                    matmul = "metallic_matmul_smalln_max_n_f32_nn_threads2";
  write("use.c", fmt::format("#include \"deep/tuned.h\"\n#include \"deep/tuned.h\"\n"
                             "int main(void) {{ return {} == 1280 && {} == INT64_C(1) << 40 ? 0 : 1; }}\n",
                             softmax, matmul));
  write("use.cc", fmt::format("#include \"deep/tuned.h\"\n#include \"deep/tuned.h\"\n"
                              "static_assert({} == 1280 && {} == INT64_C(1) << 40, \"\");\nint main() {{}}\n",
                              softmax, matmul));
  const std::string strict = " -Wall -Wextra -pedantic -Werror -I" + (root_ / "work").native();
  const auto compiles = [&](const std::string& compiler, const std::string& file) {
    const std::string program = path("use").native();
    return std::system((compiler + strict + " " + path(file).native() + " -o " + program + " && " + program).c_str()) == 0;
  };
  EXPECT_TRUE(compiles(METALLIC_CC " -std=c11", "use.c")) << header;
  EXPECT_TRUE(compiles(METALLIC_CXX " -std=c++11", "use.cc")) << header;

  Json none = Json::parse(profile_with("cpu_vec", ""));
  none["thresholds"] = Json::array();
  write("none.json", none.dump());
  refuses({"apply", "none.json", "--defaults", "c.h"}, "no thresholds");
  refuses({"apply", "profile.json", "--defaults", "profile.json/c.h"}, "Not a directory");
  refuses({"apply", "--defaults", "c.h"}, "needs a file");
}

TEST_F(Program, DevicesNameTheFamilyAndTheBuiltInProfiles) {
  const DeviceInfo device = cpu::device();
  const auto levels = built_in_levels(built_in_profiles(), device);
  const Json shown = json({"devices", "--json"})[0];
  EXPECT_EQ(shown["family"], family(device));
  EXPECT_EQ(shown["amx"], device.cpu().amx);
  ASSERT_EQ(shown["built_in_profiles"].size(), levels.size());
  const std::string text = good({"devices"});
  EXPECT_TRUE(has(text, "family " + family(device))) << text;
  for (size_t i = 0; i < levels.size(); ++i) {
    EXPECT_EQ(shown["built_in_profiles"][i], levels[i].path);
    EXPECT_TRUE(has(text, levels[i].path)) << text;
  }
  EXPECT_TRUE(json({"devices", "--json"}, {{"METALLIC_PROFILE", "none"}})[0]["built_in_profiles"].empty());
}

TEST_F(Program, ExplainNestsThePartsOfAComposedVariant) {
  const Words explain = {"explain", "batch1_h8kv2_seqq1_seqk64_d16", "--variant", "cpu_materialized"};
  const std::string text = good(explain);
  EXPECT_TRUE(has(text, "\n  runs    cpu_materialized")) << text;
  EXPECT_TRUE(has(text, "\nparts\n  matmul 4x16x64_tb_a0.25_b0 f32, ")) << text;
  EXPECT_TRUE(has(text, "\n  softmax batch4_seqq1_seqk64 f32, ")) << text;
  EXPECT_TRUE(has(text, "\n    runs    cpu_")) << "two columns further in:\n" << text;
  EXPECT_TRUE(has(text, "\n  candidates\n    cpu_")) << text;
  Words with_json = explain;
  with_json.push_back("--json");
  const Json decision = json(with_json);
  ASSERT_EQ(decision["parts"].size(), 3u);
  EXPECT_EQ(decision["parts"][1]["op"], "softmax");
  EXPECT_FALSE(has(good({"explain", "rows4_seqk64"}), "parts"));
}

}  // namespace
}  // namespace metallic::cli
