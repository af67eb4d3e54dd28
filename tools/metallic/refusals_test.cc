// SPDX-License-Identifier: Apache-2.0
// Bad input: wrong words, variables, files and places are refused with one line, and no file changes.
#include <fmt/format.h>
#include <sys/stat.h>

#include <random>

#include "testing/program.h"

namespace metallic::cli {
namespace {

TEST_F(Program, RefusesWrongWords) {
  const std::pair<Words, const char*> kBad[] = {
      {{}, "subcommand"},
      {{"tun"}, "unknown subcommand \"tun\""},
      {{"\x1b[31mred\n"}, "[31mred"},
      {{"explain"}, "problem"},
      {{"explain", "rows64"}, "label \"rows64\" column 7"},
      {{"explain", "\x1b[2J\xff"}, "column 1"},
      {{"explain", std::string(5000, 'x')}, "5000 bytes"},
      {{"explain", "softmax", "4x4x4"}, "is of matmul, not of softmax"},
      {{"explain", "matmul", "rows1_seqk1"}, "is of softmax, not of matmul"},
      {{"explain", "conv", "rows1_seqk1"}, "unknown operation \"conv\""},
      {{"explain", "softmax", "rows1_seqk1", "more"}, "At Most 2"},
      {{"explain", "rows1..4_seqk1"}, "names 3 problems"},
      {{"explain", "rows99999999999999999999_seqk1"}, "number too large"},
      {{"explain", "281474976710656x281474976710656x2"}, "smaller shape"},
      {{"explain", "rows1_seqk1", "--dtype", "f128"}, "--dtype \"f128\""},
      {{"explain", "rows1_seqk1", "--variant", "fast"}, "use auto, vec, block"},
      {{"explain", "rows1_seqk1", "--variant", "cpu_gemm"}, "cpu_vec"},
      {{"explain", "rows1_seqk1", "--model", "../x"}, "model name"},
      {{"explain", "rows1_seqk1", "--model", "llama3.1-8b"}, "llama-3.1-8b"},
      {{"explain", "rows1_seqk1", "--profile", "none.json"}, "none.json"},
      {{"explain", "rows1_seqk1", "--fast"}, "--fast"},
      {{"explain", "rows1_seqk1", "--" + std::string(2000, 'x')}, "see metallic explain --help"},
      {{"list", "--op", "conv"}, "unknown operation"},
      {{"models", "gpt-5"}, "llama-3.1-8b"},
      {{"bench", "--model", "gpt-5\x1b[31m"}, "llama-3.1-8b"},
      {{"bench", "--op", "conv"}, "unknown operation"},
      {{"bench", "--op", "matmul", "--shapes", "rows1_seqk1"}, "none of the shapes"},
      {{"bench", "--shapes", "rows1_seqk1", "--model", "llama-3.1-8b"}, "--shapes"},
      {{"bench", "--shapes", "rows1_seqk1", "--format", "xml"}, "--format"},
      {{"bench", "--shapes", "rows1_seqk1", "--cache", "hot"}, "--cache"},
      {{"bench", "--shapes", "rows1_seqk1", "--dtype", ""}, "--dtype"},
      {{"bench", "--shapes", "rows1_seqk1", "--seed", "-1"}, "--seed"},
      {{"bench", "--shapes", "rows1_seqk1", "--seed", "99999999999999999999"}, "--seed"},
      {{"bench", "--shapes", "rows10000000_seqk1000000", "--out", "s.csv"}, "GiB"},
      {{"tune", "--shapes", "rows10000000_seqk1000000"}, "GiB"},
      {{"tune", "--shapes", "rows4_seqk64", "1000000x1000000x1", "--output-dir", "D"}, "1000000x1000000x1 needs"},
      {{"tune", "--shapes", "rows1_seqk1", "--device", "cuda:0"}, "this machine has: cpu"},
      {{"tune", "--shapes", "."}, "--shapes .: neither a file of labels"},
      {{"tune", "--shapes", "./none.txt"}, "--shapes ./none.txt: neither a file of labels"},
      {{"tune", "--model", "x"}, "unknown model"},
      {{"collect", "run.json"}, "--out"},
      {{"analyze", "D/samples.csv", "--model", "../x"}, "model name"},
      {{"apply"}, "file"},
      {{"apply", "--rollback", "--force"}, "--rollback"},
      {{"apply", "D/samples.csv", "--defaults", "c.h", "--dry-run"}, "--defaults"},
      {{"regret", "--samples"}, "--samples"},
      {{"regret", "--samples", "D/samples.csv", "--shapes", "rows1_seqk1"}, "--shapes"},
      {{"bench", "--layer", "--shapes", "rows1_seqk1"}, "--shapes"},
      {{"bench", "--layer", "--out", "s.csv"}, "--out"},
      {{"bench", "--aims", "aims.json", "--dtype", "f16"}, "--dtype"},
      {{"gate", "--base", "none", "--head", "D/samples.csv"}, "none: No such file"},
  };
  make_samples();
  for (const auto& [words, fragment] : kBad) refuses(words, fragment);
  for (const char* budget : {"-1", "-1s", "0", "0s", "nan", "inf", "1e999", "s", "min", "", "1h", "99999999999999999999", "2d s"})
    refuses({"tune", "--shapes", "rows1_seqk1", std::string("--budget=") + budget}, "--budget");
}

TEST_F(Program, RefusesAWrongEnvironment) {
  const std::pair<std::string, std::string> kBad[] = {
      {"METALLIC_SOFTMAX_VARIANT", "fast"},
      {"METALLIC_SOFTMAX_VARIANT", "\x1b[31m\n"},
      {"METALLIC_MATMUL_BACKEND", "cublas"},
      {"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "-1"},
      {"METALLIC_MATMUL_SMALLN_MAX_N", "99999999999999999999"},
      {"METALLIC_MATMUL_SIMD_M_MIN", "1.5"},
      {"METALLIC_MATMUL_SIMD_N_MIN", "0x10"},
      {"METALLIC_DETERMINISM", "yes"},
      {"METALLIC_LOG_LEVEL", std::string(3000, 'x')},
      {"METALLIC_GPU_PROFILER", "yes"},
      {"METALLIC_NUM_THREADS", "0"},
      {"METALLIC_NUM_THREADS", "1025"},
  };
  for (const auto& [variable, value] : kBad)
    for (const Words& words : {Words{"explain", "rows1_seqk1"}, Words{"tune", "--shapes", "rows1_seqk1"}})
      refuses(words, variable + " is ", {{variable, value}});
  refuses({"tune", "--shapes", "rows1_seqk1"}, "XDG_DATA_HOME", {{"XDG_DATA_HOME", kUnset}, {"HOME", kUnset}});
}

TEST_F(Program, RefusesBrokenFiles) {
  make_samples();
  good({"analyze", "D/samples.csv", "--output-dir", "D"});
  write("run.json", kGoogleBenchmark);
  good({"collect", "run.json", "--out", "out/results.csv"});
  good({"analyze", "out/results.csv", "--output-dir", "out"});
  const std::string samples = read(path("D/samples.csv")), profile = read(path("D/profile.json"));

  const auto bad = [&](const std::string& text, std::string_view fragment, const Words& words) {
    write("bad", text);
    refuses(words, fragment);
  };
  const Words analyze = {"analyze", "bad", "--output-dir", "out"}, collect = {"collect", "bad", "--out", "out/results.csv"},
              apply = {"apply", "bad", "--force"}, regret = {"regret", "--samples", "D/samples.csv", "--profile", "bad"},
              score = {"regret", "--samples", "bad"};
  std::string noise(4096, '\0');
  std::mt19937 random(3);
  for (char& c : noise) c = static_cast<char>(random());
  std::string printable = noise;
  for (char& c : printable) c = static_cast<char>(c == '\0' ? 'x' : c);
  for (const Words& words : {analyze, collect, apply, regret, score})
    for (const std::string& text : {std::string(), std::string("\n"), noise, printable, std::string("\x1b[31m,\x1b[2J\n1,2\n"),
                                    std::string(100'000, '['), std::string("{}"), std::string("null")})
      bad(text, "bad", words);

  std::string hot = samples;
  hot.replace(hot.find(",warm,"), 6, ",hot,");
  bad(hot, "column cache: \"hot\": use warm or cold", analyze);

  // Cut short anywhere, a table is refused or has fewer whole rows; the middle of a row is neither.
  bad(samples.substr(0, samples.rfind(',')), "fields where the header has", analyze);
  bad(samples.substr(0, 20), "bad line 1", analyze);
  bad("benchmark,variant,parameters,mean_time,throughput\n", "no timed variant", analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,rows64_seqk256,99999999999999999999e999,1\n", "line 6 column mean_time",
      analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,rows99999999999999999999_seqk1,1,1\n", "number too large", analyze);
  bad(std::string(kFiveColumns) + "softmax_f32,cpu_vec,\"\x1b[31m\n\",1,1\n", "line 6", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,99999999999999999999,1\n", "column block", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,0,0\n", "must be finite and above 0", analyze);
  bad("variant,parameters,dtype,block,time_ns\ncpu_vec,rows1_seqk1,f32,0,1\ncpu_vec,rows1_seqk1,f32,0,1\n", "twice", analyze);

  bad(std::string(kFiveColumns) + std::string(300, 'v') + ",cpu_vec,rows1_seqk1,1,1\n", "at most 256 bytes", analyze);

  const std::string runs(kGoogleBenchmark);
  const auto replaced = [](std::string text, std::string_view what, std::string_view with) {
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return at == std::string::npos ? text : text.replace(at, what.size(), with);
  };
  bad(runs.substr(0, runs.size() / 2), "cut short", collect);
  bad(replaced(runs, "2.0", "1e999"), "number is out of range", collect);
  bad(R"({"context": {}, "benchmarks": []})", "it has no usable benchmark run", collect);
  // One unusable run is passed over, but a file needs at least one that is not.
  const auto one_run = [](std::string_view name, std::string_view time, std::string_view unit) {
    return fmt::format(R"({{"context": {{}}, "benchmarks": [{{"name": "{}", "run_type": "iteration", "real_time": {},)"
                       R"( "time_unit": "{}"}}]}})",
                       name, time, unit);
  };
  constexpr std::string_view kName = "direct/cpu_vec/f32/rows64_seqk256";
  bad(one_run("direct/f32/rows64_seqk256", "1", "us"), "\"direct/f32/rows64_seqk256\": its name is not", collect);
  bad(one_run("direct/cpu_vec/f32/\\u001b[31m", "1", "us"), "no usable benchmark run", collect);
  bad(one_run(kName, "1e300", "us"), "real_time is 1e+300 us", collect);
  bad(one_run(kName, "-1", "us"), "real_time is -1 us", collect);
  bad(one_run(kName, "1", "h"), "use ns, us, ms or s", collect);

  for (const Words& words : {apply, regret}) {
    bad(profile.substr(0, profile.size() / 2), "cut short", words);
    bad(replaced(profile, "\"schema\": 1", "\"schema\": 99999999999999999999"), "schema is", words);
    bad(replaced(profile, "\"paired\": true", "\"paired\": 1"), "paired is", words);
    bad(replaced(profile, "\"busy\": ", "\"busy\": 1, \"was\": "), "busy is", words);
    bad(replaced(profile, "\"fingerprint\": \"", "\"fingerprint\": \"other_\\u001b[31m"), "this ", words);
  }
  bad(replaced(profile, "\"model\": \"any\"", "\"model\": \"../../any\""), "model name", apply);
  const std::string here = fingerprint(cpu::device());
  bad(replaced(samples, here, "another"), "device", analyze);

  write("D/device.json", "{}");
  refuses({"report", "D"}, "device.json: schema is");
}

TEST_F(Program, RefusesPlacesThatCannotBeReadOrWritten) {
  make_samples();
  good({"analyze", "D/samples.csv", "--output-dir", "D"});
  write("run.json", kGoogleBenchmark);
  write("file", "x");
  fs::create_directories(path("folder"));
  fs::create_directories(path("taken/report.html"));
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  const Words tune = {"tune", "--shapes", "rows4_seqk64", "--budget", "600s", "--output-dir"};  // must not begin to measure
  const Words bench = {"bench", "--shapes", "rows4_seqk64", "--budget", "600s", "--out"};
  const auto at = [](Words words, const std::string& place) {
    words.push_back(place);
    return words;
  };
  refuses(at(tune, "file/below"), "Not a directory");
  refuses(at(tune, "taken"), "report.html");
  refuses(at(tune, "D"), "Not a directory", {{"XDG_DATA_HOME", path("file")}});
  refuses(at(bench, "file/below.csv"), "Not a directory");
  refuses(at(bench, "folder"), "not a regular file");
  refuses(at(bench, "pipe"), "not a regular file");
  EXPECT_TRUE(fs::is_fifo(path("pipe"))) << "a pipe, or /dev/null, is not replaced by a file";
  refuses({"analyze", "D/samples.csv", "--output-dir", "file/below"}, "Not a directory");
  refuses({"collect", "run.json", "--out", "file/below.csv"}, "Not a directory");
  refuses({"collect", "run.json", "--out", "folder"}, "not a regular file");
  refuses({"apply", "D/profile.json"}, "Not a directory", {{"XDG_DATA_HOME", path("file")}});
  for (const Words& words : {Words{"analyze"}, Words{"apply"}, Words{"collect", "--out", "new.csv"}, Words{"regret", "--samples"},
                             Words{"regret", "--samples", "D/samples.csv", "--profile"}}) {
    refuses(at(words, "folder"), "not a regular file");
    refuses(at(words, "pipe"), "not a regular file");
    refuses(at(words, "missing"), "No such file");
    refuses(at(words, "missing\x1b[31m\n" + std::string(200, 'x')), "No such file");
  }
  refuses({"report", "folder"}, "No such file");
  refuses({"report", "file"}, "Not a directory");
}

TEST_F(Program, MalformedFileNamesAreEscaped) {
  const std::string malformed = "\x1b[31m\n" + std::string(200, 'y') + ".csv";
  write(malformed, "benchmark,variant\n1,2\n");
  refuses({"analyze", malformed}, "the header lacks the column");
  write(malformed, "rows1\n");
  refuses({"bench", "--shapes", malformed}, "line 1");
}

}  // namespace
}  // namespace metallic::cli
