// SPDX-License-Identifier: Apache-2.0
// The parsers against what people and broken disks feed them: nothing is half read, every error says where.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/file.h"
#include "ops/softmax/shape.h"
#include "profile/device_json.h"
#include "profile/profile.h"
#include "tuner/io/csv.h"
#include "tuner/io/records.h"

namespace metallic {
namespace {

std::filesystem::path scratch() {
  auto path = std::filesystem::path(testing::TempDir()) / ("formats_" + std::to_string(getpid()));
  std::filesystem::create_directories(path);
  return path;
}

TEST(File, IsWrittenWholeOrNotAtAll) {
  const auto path = scratch() / "deep/er/file.txt";
  ASSERT_TRUE(write_file(path, "one"));
  ASSERT_TRUE(write_file(path, "two"));
  EXPECT_EQ(*read_file(path, 100), "two");
  EXPECT_FALSE(write_file(path / "below_a_file", "three"));
  EXPECT_FALSE(write_file("/proc/nowhere/file", "three"));
  EXPECT_EQ(*read_file(path, 100), "two");
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) files += entry.is_regular_file();
  EXPECT_EQ(files, 1u) << "no temporary file stays behind";
}

TEST(File, ReadingIsBounded) {
  const auto path = scratch() / "large";
  ASSERT_TRUE(write_file(path, std::string(1000, 'x')));
  EXPECT_TRUE(read_file(path, 1000));
  EXPECT_FALSE(read_file(path, 999));
  EXPECT_EQ(read_file(scratch() / "missing", 10).error().code, Code::not_found);
  EXPECT_FALSE(read_file(scratch(), 10)) << "a folder is not a file";
  const auto pipe = scratch() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_FALSE(read_file(pipe, 10)) << "a pipe without a writer must not hang";
}

TEST(Csv, ReadsQuotesLineEndsAndTellsLines) {
  std::vector<CsvRow> rows;
  ASSERT_TRUE(read_csv("a,b\r\n\"x,\"\"y\"\"\nz\",2\n\n3,4", "t.csv", [&](const CsvRow& row) -> Status {
    rows.push_back(row);
    return {};
  }));
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].fields, (std::vector<std::string>{"x,\"y\"\nz", "2"}));
  EXPECT_EQ(rows[1].line, 2u);
  EXPECT_EQ(rows[2].fields, (std::vector<std::string>{"3", "4"}));
  EXPECT_EQ(rows[2].line, 5u);
  const std::vector<std::string> fields = {"plain", "with,comma", "with \"quotes\"", "", "\ttab"};
  EXPECT_EQ(csv_line(fields), "plain,\"with,comma\",\"with \"\"quotes\"\"\",,\"\ttab\"\n")
      << "blanks at the ends are kept in quotes only";
}

TEST(Csv, ReadsWhatSpreadsheetsWrite) {
  const auto parsed = parse_results(
      "\xEF\xBB\xBF\"benchmark\",variant,parameters,mean_time,throughput,\r\n"
      "softmax_f32,cpu_vec,\"rows64_seqk128\",1.28E+03,1000000000,\r\n,,,,,\r\n\r\n\r\n",
      "r.csv");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 1u);
  EXPECT_EQ(parsed->front().benchmark, "softmax_f32");
  EXPECT_EQ(parsed->front().parameters, "rows64_seqk128");
  EXPECT_EQ(parsed->front().mean_time, 1280);
  EXPECT_EQ(parsed->front().line, 2u);
  EXPECT_TRUE(looks_like_samples("\xEF\xBB\xBFtime_ns,variant\r\n"));
  const auto message = [](std::string_view text) {
    const auto rows = parse_results(text, "r.csv");
    return rows ? std::string("accepted") : rows.error().message;
  };
  EXPECT_NE(message("benchmark;variant;parameters;mean_time;throughput\n").find("semicolons separate"), std::string::npos);
  EXPECT_NE(message("benchmark\tvariant\tparameters\n").find("tabs separate"), std::string::npos);
  EXPECT_NE(message(std::string("\xFF\xFE"
                                "b\0",
                                4))
                .find("UTF-16"),
            std::string::npos);
  EXPECT_NE(message("benchmark,variant,parameters,mean_time,throughput\nb_f32,vec,rows1_seqk1,1,1,\n")
                .find("line 2: 6 fields where the header has 5"),
            std::string::npos);
  EXPECT_NE(message("\xEF\xBB\xBF").find("empty"), std::string::npos);
}

TEST(Csv, RefusesWhatIsBroken) {
  const auto read = [](std::string_view text) { return read_csv(text, "t.csv", [](const CsvRow&) -> Status { return {}; }); };
  EXPECT_FALSE(read("a,b\n\"open,2\n")) << "an unfinished quote";
  EXPECT_FALSE(read("a,b\nx\"y,2\n")) << "a stray quote";
  EXPECT_FALSE(read(std::string("a,b\n\0,2\n", 8)));
  EXPECT_FALSE(read("a," + std::string(5000, 'x')));
  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "x,";
  EXPECT_FALSE(read(wide));
}

SampleRow a_sample() {
  SampleRow row;
  row.benchmark = "softmax_f32";
  row.variant = "cpu_vec";
  row.parameters = "rows64_seqk512";
  row.dtype = "f32";
  row.tuning = "unroll=4";
  row.device = "some, device \"x\"";
  row.op = "softmax";
  row.block = 3;
  row.time_ns = 1234.5678901234567;
  row.weight = 0.1;
  return row;
}

TEST(Samples, RoundTrip) {
  const std::vector<SampleRow> rows = {a_sample(), a_sample()};
  const std::string text = to_csv(sample_columns(), std::span<const SampleRow>(rows));
  EXPECT_TRUE(looks_like_samples(text));
  const auto parsed = parse_samples(text, "samples.csv");
  ASSERT_TRUE(parsed) << parsed.error().message;
  ASSERT_EQ(parsed->size(), 2u);
  EXPECT_EQ(parsed->front().device, rows[0].device);
  EXPECT_EQ(parsed->front().time_ns, rows[0].time_ns);
  EXPECT_EQ(parsed->front().weight, 0.1);
}

TEST(Results, FiveColumnsOfTheGuideSuffice) {
  const auto parsed =
      parse_results("benchmark,variant,parameters,mean_time,throughput\nsoftmax_f32,vec,rows64_seqk512,1000,5e9\n", "r.csv");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->front().mean_time, 1000);
  EXPECT_EQ(parsed->front().device, "unknown");
  EXPECT_FALSE(parse_results("benchmark,variant,parameters,mean_time\n", "r.csv")) << "a missing column";
  EXPECT_FALSE(parse_results("", "r.csv"));
}

TEST(Results, BadNumbersNameLineAndColumn) {
  const auto message = [](const std::string& number) {
    const auto parsed = parse_results(
        "benchmark,variant,parameters,mean_time,throughput\nb_f32,vec,rows1_seqk1,1,1\nb_f32,vec,rows1_seqk1," + number + ",1\n",
        "r.csv");
    return parsed ? std::string("accepted") : parsed.error().message;
  };
  for (const char* number : {"nan", "inf", "-1", "1e999", "", "1x", "0x10", "99999999999999999999999999999999999999e999"})
    EXPECT_NE(message(number).find("r.csv line 3 column mean_time"), std::string::npos) << number << ": " << message(number);
  EXPECT_EQ(message("12.5"), "accepted");
}

Profile a_profile() {
  Profile profile;
  profile.device = {.id = "cpu", .backend = "cpu", .model = "Some \"CPU\"", .kind = CpuInfo{.isa = "AVX3"}};
  profile.fingerprint = fingerprint(profile.device);
  profile.model = "llama-3.1-8b";
  profile.build = "b";
  profile.date = "2026-01-01T00:00:00Z";
  profile.lists = {{{.op = kSoftmax, .threads = 2, .layout = "contiguous"},
                    {{.when = {{Axis::seq_k, std::nullopt, 1280}, {Axis::rows, 1, 16}},
                      .use = "cpu_vec",
                      .tuning = "unroll=4",
                      .evidence = {.regret = 0.01, .margin = 0.25, .samples = 99, .note = "n"}},
                     {.use = "cpu_block"}}}};
  profile.thresholds = {{.op = kSoftmax,
                         .layout = "contiguous",
                         .name = "softmax_vec_block",
                         .value = 1280,
                         .low = 1000,
                         .high = 1500,
                         .regret = 0.001}};
  return profile;
}

TEST(ProfileJson, RoundTrips) {
  const Profile profile = a_profile();
  const auto parsed = parse_profile(to_json(profile), "p.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->lists, profile.lists);
  EXPECT_EQ(parsed->thresholds, profile.thresholds);
  EXPECT_EQ(parsed->fingerprint, profile.fingerprint);
  EXPECT_EQ(to_json(*parsed), to_json(profile));
}

TEST(ProfileJson, FaultsNameFileAndField) {
  const auto fault = [](const char* pointer, const Json& value) {
    Json json = Json::parse(to_json(a_profile()));
    json[Json::json_pointer(pointer)] = value;
    const auto parsed = parse_profile(json.dump(), "p.json");
    return parsed ? std::string("accepted") : parsed.error().message;
  };
  EXPECT_NE(fault("/schema", 2).find("p.json: schema"), std::string::npos);
  EXPECT_NE(fault("/rules/0/op", "conv").find("p.json: rules[0]"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/when/seq_k", {-1, 5}).find("rules[0].rules[0].when.seq_k"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/when/seq_k", {5, 1}).find("seq_k"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/when/seq_k", {1, 18446744073709551615u}).find("seq_k"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/when/seq_k", {1, 1.5}).find("seq_k"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/when/colour", {1, 2}).find("unknown axis"), std::string::npos);
  EXPECT_NE(fault("/rules/0/rules/0/use", 7).find("rules[0].rules[0].use"), std::string::npos);
  EXPECT_NE(fault("/rules/0/threads", 0).find("threads"), std::string::npos);
  EXPECT_NE(fault("/thresholds/0/value", -5).find("thresholds[0].value"), std::string::npos);
  EXPECT_NE(fault("/rules", "x").find("p.json: rules"), std::string::npos);
  EXPECT_EQ(fault("/build", "other"), "accepted");
}

TEST(ProfileJson, SurvivesCutsAndNoise) {
  const std::string text = to_json(a_profile());
  for (size_t cut = 0; cut < text.size() - 2; ++cut) EXPECT_FALSE(parse_profile(text.substr(0, cut), "p.json"));
  EXPECT_FALSE(parse_profile(std::string(2000, '['), "p.json"));
  EXPECT_FALSE(parse_profile(std::string(Profile::kMostBytes + 1, ' '), "p.json"));
  std::mt19937 random(3);
  for (int i = 0; i < 3000; ++i) {
    std::string noisy = text;
    for (int n = 0; n < 3; ++n) noisy[random() % noisy.size()] = static_cast<char>(random());
    const auto parsed = parse_profile(noisy, "p.json");
    EXPECT_TRUE(!parsed || parse_profile(to_json(*parsed), "p.json"));
  }
}

TEST(DeviceJson, RoundTrips) {
  const DeviceRecord record{.device = {.id = "cpu",
                                       .backend = "cpu",
                                       .model = "m",
                                       .libraries = {{"blis", "0.9.0"}},
                                       .kind = CpuInfo{.isa = "AVX2", .amx = true, .bf16_dots = true, .cores = 4}},
                            .roofline = {1e9, 2e9, 3e9},
                            .threads = 2,
                            .model = "any",
                            .build = "b",
                            .date = "d",
                            .seed = 42};
  const auto parsed = parse_device_record(to_json(record), "device.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->device, record.device);
  EXPECT_EQ(parsed->roofline, record.roofline);
  EXPECT_EQ(parsed->seed, 42u);
  EXPECT_FALSE(parse_device_record("{\"schema\": 1}", "device.json"));
  std::string wrong = to_json(record);
  wrong.replace(wrong.find("\"0.9.0\""), 7, "9");
  const auto refused = parse_device_record(wrong, "device.json");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("libraries[0].version"), std::string::npos) << refused.error().message;
}

TEST(DeviceJson, KeepsWhatAGpuIs) {
  const DeviceRecord record{.device = {.id = "cuda:0",
                                       .backend = "cuda",
                                       .model = "NVIDIA H200",
                                       .kind = CudaInfo{.sm_version = 90,
                                                        .num_sms = 132,
                                                        .clock_mhz = 1980,
                                                        .memory_clock_mhz = 3201,
                                                        .driver = "CUDA 13.0, runtime 13.0"}}};
  const auto parsed = parse_device_record(to_json(record), "device.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->device, record.device);
}

TEST(DeviceJson, CarriesTheNoise) {
  DeviceRecord record{.device = {.id = "cpu", .backend = "cpu", .model = "m", .kind = CpuInfo{.isa = "AVX2"}}};
  EXPECT_FALSE(parse_device_record(to_json(record), "device.json")->noise);
  record.noise = {.readings = 812,
                  .disturbed_share = 0.31,
                  .waited_s = 1.5,
                  .drift = -0.02,
                  .autocorrelation = 0.4,
                  .spread = 0.1,
                  .steal_share = 0.01};
  const auto parsed = parse_device_record(to_json(record), "device.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->noise, record.noise);
  record.noise->others_share = 0.45;
  record.noise->throttled_share = 0.875;
  record.noise->throttled_s = 2.75;
  record.noise->gpu = GpuNoise{.least_mhz = 1755, .median_mhz = 1900, .most_mhz = 1980, .most_celsius = 61, .heat_share = 0.125};
  EXPECT_EQ(parse_device_record(to_json(record), "device.json")->noise, record.noise);
  for (const auto& [good, bad] : std::vector<std::pair<std::string, std::string>>{{"0.31", "1.31"},
                                                                                  {"1755", "-1"},
                                                                                  {"0.125", "1.25"},
                                                                                  {"812", "-1"},
                                                                                  {"1.5", "-1.5"},
                                                                                  {"-0.02", "1e300"},
                                                                                  {"0.4", "\"0.4\""},
                                                                                  {"0.45", "45"},
                                                                                  {"0.875", "8.75"},
                                                                                  {"2.75", "-2.75"}}) {
    std::string text = to_json(record);
    text.replace(text.find(" " + good) + 1, good.size(), bad);
    const auto refused = parse_device_record(text, "device.json");
    ASSERT_FALSE(refused) << bad;
    EXPECT_NE(refused.error().message.find("device.json: noise."), std::string::npos) << refused.error().message;
  }
}

}  // namespace
}  // namespace metallic
