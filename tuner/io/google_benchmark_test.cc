// SPDX-License-Identifier: Apache-2.0
// Google Benchmark's JSON as its releases write it: suffixes, skipped runs, and numbers that are none.
#include "tuner/io/google_benchmark.h"

#include <gtest/gtest.h>

namespace metallic {
namespace {

constexpr const char* kBenchmark = R"({"context": {"metallic_device": "dev", "metallic_cache": "warm"}, "benchmarks": [
  {"name": "softmax_dispatcher/cpu_vec@unroll=4/f32/rows16_seqk64/real_time", "run_type": "iteration", "real_time": 2.0, "time_unit": "us", "threads_used": 2.0},
  {"name": "softmax_dispatcher/cpu_vec@unroll=4/f32/rows16_seqk64/real_time", "run_type": "iteration", "real_time": 4.0, "time_unit": "us"},
  {"name": "softmax_dispatcher/cpu_vec@unroll=4/f32/rows16_seqk64/real_time_mean", "run_type": "aggregate", "real_time": 3.0, "time_unit": "us"},
  {"name": "softmax_dispatcher/noop/f32/rows16_seqk64", "run_type": "iteration", "real_time": 20.0, "time_unit": "ns"}]})";

TEST(GoogleBenchmark, BecomesResults) {
  const auto rows = parse_google_benchmark(kBenchmark, "g.json");
  ASSERT_TRUE(rows) << rows.error().message;
  ASSERT_EQ(rows->size(), 2u);
  const ResultRow& row = rows->front();
  EXPECT_EQ(row.benchmark, "softmax_dispatcher_f32");
  EXPECT_EQ(row.variant, "cpu_vec");
  EXPECT_EQ(row.tuning, "unroll=4");
  EXPECT_EQ(row.parameters, "rows16_seqk64");
  EXPECT_EQ(row.mean_time, 3000);
  EXPECT_EQ(row.samples, 2);
  EXPECT_EQ(row.threads, 2);
  EXPECT_EQ(row.device, "dev");
  EXPECT_NEAR(row.throughput, 16 * 64 * 3 / 3e-6, 1);
  EXPECT_EQ(rows->back().variant, "noop");
}

TEST(GoogleBenchmark, RefusesFilesWithoutAUsableRun) {
  EXPECT_FALSE(parse_google_benchmark("{}", "g.json"));
  EXPECT_FALSE(parse_google_benchmark("[1,2]", "g.json"));
  EXPECT_FALSE(parse_google_benchmark(R"({"context": {}, "benchmarks": []})", "g.json"));
  const std::string too_long(300, 'a');  // results.csv could not be read again
  for (const std::string& name : {std::string("BM_Foo/8"), std::string("a/b/f32/nolabel"), std::string("a/b/f99/rows1_seqk1"),
                                  std::string("a//f32/rows1_seqk1"), std::string("a/b/f32/rows1_seqk1/extra"),
                                  std::string("a\\u0000/b/f32/rows1_seqk1"), too_long + "/b/f32/rows1_seqk1"}) {
    const std::string text = std::string(R"({"context": {}, "benchmarks": [{"name": ")") + name +
                             R"(", "run_type": "iteration", "real_time": 1, "time_unit": "ns"}]})";
    EXPECT_FALSE(parse_google_benchmark(text, "g.json")) << name;
  }
  const std::string text = kBenchmark;
  for (size_t cut = 0; cut < text.size() - 1; ++cut) EXPECT_FALSE(parse_google_benchmark(text.substr(0, cut), "g.json"));
}

std::string file_of(const std::string& runs) { return R"({"context": {}, "benchmarks": [)" + runs + "]}"; }

std::string run_of(const std::string& benchmark_name, const std::string& more = "") {
  return R"({"name": ")" + benchmark_name + R"(", "run_type": "iteration", "real_time": 1.0, "time_unit": "us")" + more + "}";
}

constexpr const char* kUsable = "softmax/cpu_vec@unroll=1/f32/rows64_seqk512";

TEST(GoogleBenchmark, StripsEverySuffix) {
  for (const char* suffix :
       {"/iterations:10/repeats:3/real_time/threads:1", "/min_time:0.100/manual_time", "/min_warmup_time:0.100",
        "/min_time:0.100/min_warmup_time:0.500/process_time/real_time/threads:2", "/process_time", ""}) {
    const auto rows = parse_google_benchmark(file_of(run_of(std::string(kUsable) + suffix)), "g.json");
    ASSERT_TRUE(rows) << suffix << ": " << rows.error().message;
    EXPECT_EQ(rows->front().parameters, "rows64_seqk512") << suffix;
  }
}

TEST(GoogleBenchmark, ReadsCountersThatAreNotFinite) {
  for (const char* number : {"NaN", "-NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-inf"}) {
    const auto rows =
        parse_google_benchmark(file_of(run_of(kUsable, fmt::format(", \"GBps\":{}, \"label\": \"NaN\"", number))), "g.json");
    ASSERT_TRUE(rows) << number << ": " << rows.error().message;
    EXPECT_EQ(rows->front().mean_time, 1000);
  }
}

TEST(GoogleBenchmark, PassesOverWhatIsUnusableAndNamesItWhole) {
  const std::string other = "softmax/cpu_block@segment=1024/f32/rows64_seqk512";
  const std::pair<std::string, std::string> kUnusable[] = {
      {run_of(other + "/min_warmup_time:0.100/manual_time", R"(, "skipped": true, "skip_message": "no such kernel\nhere")"),
       "g.json: passed over \"" + other + R"(/min_warmup_time:0.100/manual_time": it was skipped: no such kernel\nhere)"},
      {run_of(other, R"(, "error_occurred": true, "error_message": "out of memory")"),
       "g.json: passed over \"" + other + "\": it ended in an error: out of memory"},
      {run_of("BM_memcpy/8/threads:2"), "g.json: passed over \"BM_memcpy/8/threads:2\": its name is not <group>"},
      {run_of("softmax/vec/f99/rows64_seqk512"), R"("softmax/vec/f99/rows64_seqk512": its dtype is "f99")"},
      {R"({"name": "softmax/vec/f32/rows64_seqk512", "real_time": NaN, "time_unit": "ns"})", "real_time is \"null\""},
      {R"({"real_time": 1, "time_unit": "ns"})", "name is missing"},
  };
  for (const auto& [run, fragment] : kUnusable) {
    std::vector<std::string> lines;
    const auto rows = parse_google_benchmark(file_of(run + "," + run + "," + run_of(kUsable)), "g.json",
                                             [&](std::string_view line) { lines.emplace_back(line); });
    ASSERT_TRUE(rows) << fragment << ": " << rows.error().message;
    EXPECT_EQ(rows->size(), 1u) << fragment;
    ASSERT_FALSE(lines.empty()) << fragment;
    EXPECT_NE(lines.front().find(fragment), std::string::npos) << lines.front();
    EXPECT_EQ(lines.front().find('\n'), std::string::npos);
    if (run.find("\"name\"") != std::string::npos && run.find("NaN") == std::string::npos) {
      EXPECT_EQ(lines.size(), 1u) << "a repetition is not news";
    }
    EXPECT_FALSE(parse_google_benchmark(file_of(run), "g.json")) << fragment << ": nothing else is in the file";
  }
}

TEST(GoogleBenchmark, AFileWithoutAUsableRunSaysWhy) {
  const auto rows = parse_google_benchmark(file_of(run_of("BM_memcpy/8")), "g.json");
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().message.find("g.json: it has no usable benchmark run: \"BM_memcpy/8\": its name is not"), 0u)
      << rows.error().message;
}

}  // namespace
}  // namespace metallic
