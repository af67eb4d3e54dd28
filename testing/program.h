// SPDX-License-Identifier: Apache-2.0
// Fixture that runs the program `metallic` in a temporary home and checks its output, files and exit codes.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "device/cpu/cpu_info.h"
#include "device/info.h"

namespace metallic::cli {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

struct ProgramResult {
  int code = -1;
  std::string out, err;
};

class Program : public testing::Test {
 protected:
  Program() {
    std::string name = (fs::temp_directory_path() / "metallic_cli_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
    fs::create_directories(root_ / "work");
  }
  ~Program() override { fs::remove_all(root_); }

  fs::path path(const std::string& name) const { return root_ / "work" / name; }
  std::string read(const fs::path& file) const {
    const auto text = read_file(file, 256 << 20);
    EXPECT_TRUE(text) << text.error().message;
    return text.value_or("");
  }
  void write(const std::string& name, std::string_view text) const { ASSERT_TRUE(write_file(path(name), text)); }

  // Starts the program in the folder `work`, with two threads and an environment of only `variables`.
  pid_t start(const Words& words, const Variables& variables = {}) const {
    Variables environment = {{"HOME", root_ / "home"}, {"XDG_DATA_HOME", root_ / "data"}, {"METALLIC_NUM_THREADS", "2"}};
    for (const auto& [name, value] : variables) environment[name] = value;
    std::vector<std::string> settings;
    for (const auto& [name, value] : environment)
      if (value != kUnset) settings.push_back(name + "=" + value);
    std::vector<char*> arguments = {const_cast<char*>(METALLIC_PROGRAM)}, envp;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    for (const std::string& setting : settings) envp.push_back(const_cast<char*>(setting.c_str()));
    arguments.push_back(nullptr);
    envp.push_back(nullptr);
    const fs::path out = root_ / "out", err = root_ / "err", work = root_ / "work";
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDOUT_FILENO);
      dup2(open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600), STDERR_FILENO);
      alarm(300);  // survives exec and kills a hanging program; with sanitizers and busy threads a tune takes a minute
      if (chdir(work.c_str()) == 0) execve(METALLIC_PROGRAM, arguments.data(), envp.data());
      _exit(127);
    }
    return child;
  }

  ProgramResult end(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), read(root_ / "out"), read(root_ / "err")};
  }

  ProgramResult run(const Words& words, const Variables& variables = {}) const { return end(start(words, variables)); }

  // Expects success and returns the standard output.
  std::string good(const Words& words, const Variables& variables = {}) const {
    const ProgramResult ended = run(words, variables);
    EXPECT_EQ(ended.code, 0) << said(words, ended);
    return ended.out;
  }
  Json json(const Words& words, const Variables& variables = {}) const {
    const auto parsed = parse_json(good(words, variables), words.front(), 64 << 20);
    EXPECT_TRUE(parsed) << parsed.error().message;
    return parsed.value_or(Json());
  }

  // All files of the test with their contents, so that leftover temporary files show.
  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(root_))
      if (entry.is_regular_file() && entry.path() != root_ / "out" && entry.path() != root_ / "err")
        found[entry.path().native()] = read(entry.path());
    return found;
  }

  // Expects exit code 2, one short printable line with `fragment`, and no changed file.
  void refuses(const Words& words, std::string_view fragment, const Variables& variables = {}) const {
    const auto before = files();
    const ProgramResult ended = run(words, variables);
    EXPECT_EQ(ended.code, 2) << said(words, ended);
    EXPECT_NE(ended.err.find(fragment), std::string::npos) << "wanted: " << fragment << '\n' << said(words, ended);
    EXPECT_TRUE(ended.err.starts_with("metallic: ")) << said(words, ended);
    EXPECT_EQ(ended.err.find('\n') + 1, ended.err.size()) << "not one line: " << said(words, ended);
    EXPECT_LE(ended.err.size(), 500u) << said(words, ended);
    for (const char c : ended.err.substr(0, ended.err.find('\n')))
      EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) << "control character in: " << said(words, ended);
    EXPECT_TRUE(files() == before) << "files changed by: " << said(words, ended);
  }

  static std::string said(const Words& words, const ProgramResult& ended) {
    return fmt::format("metallic {}\nexit {}\n{}{}", fmt::join(words, " "), ended.code, ended.out, ended.err);
  }

  // Lets bench write samples of a few small problems, and device.json.
  void make_samples(const std::string& name = "D/samples.csv") const {
    good({"bench", "--budget", "0.05s", "--seed", "1", "--shapes", "rows4_seqk64..512", "4x128x64_tb", "--out", path(name)});
  }
  fs::path installed(const std::string& model = "any") const {
    return root_ / "data" / "metallic" / fingerprint(cpu::device()) / (model + ".json");
  }

  static constexpr const char* kUnset = "\1unset";
  fs::path root_;
};

// Measurements of other programs: results.csv with five columns only, and a run of Google Benchmark.
inline constexpr std::string_view kFiveColumns =
    "benchmark,variant,parameters,mean_time,throughput\n"
    "softmax_f32,cpu_vec,rows64_seqk256,1000,5e9\nsoftmax_f32,cpu_block,rows64_seqk256,2000,2.5e9\n"
    "softmax_f32,cpu_vec,rows64_seqk8192,90000,5e9\nsoftmax_f32,cpu_block,rows64_seqk8192,80000,6e9\n";

inline constexpr std::string_view kGoogleBenchmark = R"({"context": {"num_cpus": 2, "metallic_target": "AVX2"}, "benchmarks": [
  {"name": "direct/cpu_vec@unroll=4/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 2.0, "time_unit": "us", "threads_used": 2},
  {"name": "direct/cpu_vec@unroll=4/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 4000, "time_unit": "ns", "threads_used": 2},
  {"name": "direct/cpu_block/f32/rows64_seqk256/real_time", "run_type": "iteration", "iterations": 9, "real_time": 6.0, "time_unit": "us", "threads_used": 2},
  {"name": "direct/cpu_block/f32/rows64_seqk256/real_time_mean", "run_type": "aggregate", "iterations": 1, "real_time": 6.0, "time_unit": "us"}]})";

inline bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace metallic::cli
