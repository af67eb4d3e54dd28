// SPDX-License-Identifier: Apache-2.0
// The benchmark programs: their output can be converted to results.csv.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "device/cpu/cpu_info.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "tuner/io/google_benchmark.h"

namespace metallic {
namespace {

class Programs : public testing::Test {
 protected:
  Programs() : folder_(std::filesystem::temp_directory_path() / fmt::format("metallic_programs_test_{}", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~Programs() override { std::filesystem::remove_all(folder_); }

  // The exit status of a command whose standard error goes to a file.
  int run(const std::string& command) const {
    const int status = std::system(
        fmt::format("METALLIC_PROFILE=none {} >{}/out 2>{}/err", command, folder_.native(), folder_.native()).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string errors() const { return read_file(folder_ / "err", 1 << 20).value(); }

  std::vector<ResultRow> rows(const std::string& program, const std::string& filter) const {
    const auto path = folder_ / "run.json";
    const int status =
        run(fmt::format("METALLIC_NUM_THREADS=2 {} '--benchmark_filter={}' --benchmark_min_time=0.01 --benchmark_out={} "
                        "--benchmark_out_format=json",
                        program, filter, path.native()));
    EXPECT_EQ(status, 0) << errors();
    const auto text = read_file(path, 64 << 20);
    EXPECT_TRUE(text) << text.error().message;
    const auto parsed = parse_google_benchmark(*text, "run.json");
    EXPECT_TRUE(parsed) << parsed.error().message;
    return parsed.value_or(std::vector<ResultRow>());
  }

  std::filesystem::path folder_;
};

std::set<std::string> instances(const std::vector<ResultRow>& rows) {
  std::set<std::string> seen;
  for (const ResultRow& row : rows) seen.insert(row.tuning.empty() ? row.variant : row.variant + "@" + row.tuning);
  return seen;
}

std::set<std::string> all_instances(std::initializer_list<std::string_view> label_texts) {
  std::set<std::string> all;
  const DeviceInfo device = cpu::device();
  for (const std::string_view text : label_texts) {
    const Problem problem = *parse_label(text);
    for (const Variant& variant : variants(problem.op()))
      for (const Tuning& tuning : variant.tunings)
        if (variant.family != "reference" && !variant.rejects(problem, tuning, device)) all.insert(to_string(variant, tuning));
  }
  return all;
}

void check(const ResultRow& row, std::string_view benchmark_name) {
  EXPECT_EQ(row.benchmark, benchmark_name);
  EXPECT_EQ(row.dtype, "f32");
  EXPECT_EQ(row.threads, row.variant == "noop" ? 1 : 2);
  EXPECT_EQ(row.device, fingerprint(cpu::device()));
  EXPECT_EQ(row.target, cpu::device().isa());
  EXPECT_EQ(row.cache, "warm");
  EXPECT_FALSE(row.build.empty());
  EXPECT_GT(row.mean_time, 0);
}

TEST_F(Programs, SoftmaxDispatcherTimesVariantsAutoAndNoop) {
  const auto got = rows(SOFTMAX_DISPATCHER_BENCH, "/f32/rows16_seqk64/");
  for (const ResultRow& row : got) {
    check(row, "softmax_dispatcher_f32");
    EXPECT_EQ(row.parameters, "rows16_seqk64");
  }
  auto expected = all_instances({"rows16_seqk64"});
  expected.insert({"auto", "noop"});
  EXPECT_EQ(instances(got), expected);
}

TEST_F(Programs, SoftmaxDispatcherLeavesOutVariantsThatTheEnvironmentPrevents) {
  const Problem problem = *parse_label("batch4_seqq64_seqk256_causal");
  const auto got = rows("METALLIC_SOFTMAX_VARIANT=vec " SOFTMAX_DISPATCHER_BENCH, fmt::format("/{}/", label(problem)));
  for (const ResultRow& row : got) EXPECT_TRUE(row.variant == "cpu_vec" || row.variant == "auto") << row.variant;
  EXPECT_GE(got.size(), 2u);
}

TEST_F(Programs, DirectKernelTimesMatmulAndSoftmax) {
  const auto got = rows(DIRECT_KERNEL_BENCH, "/(64x64x64|rows64_seqk128|2x4096x4096_tb)/");
  for (const ResultRow& row : got) check(row, "direct_kernel_f32");
  EXPECT_EQ(instances(got), all_instances({"64x64x64", "rows64_seqk128", "2x4096x4096_tb"}));
}

TEST_F(Programs, DispatchTimesPlansChoicesAndLoading) {
  const auto path = folder_ / "run.json";
  ASSERT_EQ(run(fmt::format("{} --benchmark_min_time=0.001 --benchmark_out={} --benchmark_out_format=json", DISPATCH_BENCH,
                            path.native())),
            0)
      << errors();
  const auto json = parse_json(read_file(path, 64 << 20).value(), "run.json", 64 << 20);
  ASSERT_TRUE(json) << json.error().message;
  std::map<std::string, double> times;
  for (const Json& row : json->at("benchmarks")) {
    EXPECT_FALSE(row.contains("error_occurred")) << row;
    times[row.at("name")] = row.at("cpu_time");
  }
  for (const char* of : {"f32/rows1_seqk64", "f32/softmax_mixed", "f32/4096x4096x1", "f32/matmul_mixed",
                         "f32/batch1_h32kv8_seqq1_seqk512_d128_causal", "f32/sdpa_mixed"}) {
    for (const char* what : {"noop_plan", "kept_plan", "noop_choice", "choice"})
      EXPECT_GT(times[fmt::format("dispatch/{}/{}", what, of)], 0) << what << ' ' << of;
    EXPECT_GT(times[fmt::format("dispatch/choice/{}", of)], times[fmt::format("dispatch/noop_choice/{}", of)]) << of;
  }
  EXPECT_GT(times["dispatch/profile_load"], times["dispatch/choice/f32/rows1_seqk64"]);
  EXPECT_GT(times["dispatch/context_create"], times["dispatch/choice/f32/rows1_seqk64"]);
}

TEST_F(Programs, RefuseAWrongEnvironmentAndUnknownFlags) {
  for (const std::string program : {SOFTMAX_DISPATCHER_BENCH, DIRECT_KERNEL_BENCH, DISPATCH_BENCH}) {
    EXPECT_EQ(run("METALLIC_NUM_THREADS=many " + program), 2);
    const std::string text = errors();
    EXPECT_NE(text.find("METALLIC_NUM_THREADS is \"many\""), std::string::npos) << text;
    EXPECT_EQ(text.find('\n'), text.size() - 1) << "one line: " << text;
    EXPECT_EQ(run(program + " --no_such_flag"), 2);
  }
}

}  // namespace
}  // namespace metallic
