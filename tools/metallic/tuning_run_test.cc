// SPDX-License-Identifier: Apache-2.0
// Tuning runs that are interrupted or killed: samples are kept, and the same command continues from there.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <set>
#include <thread>
#include <tuple>

#include "testing/program.h"
#include "tuner/io/records.h"

namespace metallic::cli {
namespace {

class TuningRunTest : public Program {
 protected:
  static Words tune(const std::string& budget = "3s", const std::string& shapes = "rows4_seqk64..8192") {
    return {"tune", "--shapes", shapes, "--cache", "warm", "--budget", budget, "--output-dir", "D", "--force"};
  }

  // Starts it and sends the signal once some blocks are on disk.
  ProgramResult stopped(int signal) const {
    const pid_t child = start(tune("30s"));
    std::error_code none_yet;
    for (int tries = 0; tries < 30'000; ++tries) {
      const auto size = fs::file_size(checkpoint_, none_yet);
      if (!none_yet && size > 20'000) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    EXPECT_GT(fs::file_size(checkpoint_, none_yet), 20'000u);
    kill(child, signal);
    return end(child);
  }

  using Timing = std::tuple<std::string, std::string, std::string, std::string, int64_t, double>;
  std::set<Timing> timings(const fs::path& file) const {
    const auto rows = parse_samples(read(file), file.native());
    EXPECT_TRUE(rows) << rows.error().message;
    std::set<Timing> found;
    for (const SampleRow& row : rows.value_or(std::vector<SampleRow>()))
      found.emplace(row.parameters, row.cache, row.variant, row.tuning, row.block, row.time_ns);
    return found;
  }

  const fs::path checkpoint_ = path("D/samples.partial.csv"), samples_ = path("D/samples.csv");
};

TEST_F(TuningRunTest, ResumesAfterAKill) {
  EXPECT_EQ(stopped(SIGKILL).code, -SIGKILL);
  EXPECT_FALSE(fs::exists(samples_));
  std::string text = read(checkpoint_);
  text.resize(text.rfind('\n') + 1);
  ASSERT_TRUE(write_file(checkpoint_, text.substr(0, text.size() - 30))) << "as if killed within a line";
  const ProgramResult ended = run(tune());
  EXPECT_EQ(ended.code, 0) << said(tune(), ended);
  EXPECT_TRUE(has(ended.err, "resuming with ")) << ended.err;
  EXPECT_FALSE(fs::exists(checkpoint_)) << "its samples are in samples.csv now";
  const auto earlier = parse_samples(text, "checkpoint");
  ASSERT_TRUE(earlier) << earlier.error().message;
  const std::set<Timing> all = timings(samples_);
  const SampleRow& cut = earlier->back();
  for (const SampleRow& row : *earlier)
    if (row.parameters != cut.parameters || row.cache != cut.cache || row.block != cut.block) {
      EXPECT_TRUE(all.contains({row.parameters, row.cache, row.variant, row.tuning, row.block, row.time_ns}));
    }
  EXPECT_GT(all.size(), earlier->size());
  EXPECT_TRUE(fs::exists(installed()));
}

TEST_F(TuningRunTest, CtrlCEndsItAndKeepsTheCheckpoint) {
  const ProgramResult ended = stopped(SIGINT);
  EXPECT_EQ(ended.code, 130) << said(tune(), ended);
  EXPECT_TRUE(has(ended.err, "interrupted after ")) << ended.err;
  EXPECT_TRUE(has(ended.err, "the same command continues from there")) << ended.err;
  EXPECT_FALSE(fs::exists(samples_));
  EXPECT_FALSE(fs::exists(installed()));
  const std::set<Timing> earlier = timings(checkpoint_);
  EXPECT_FALSE(earlier.empty());

  // A run of other shapes neither uses nor overwrites it.
  refuses(tune("3s", "rows64_seqk512"), "other shapes");
  ASSERT_TRUE(write_file(path("E/samples.partial.csv"), "not,ours\n"));
  refuses({"tune", "--shapes", "rows64_seqk512", "--output-dir", "E"}, "E/samples.partial.csv");

  const ProgramResult again = run(tune("1s"));
  EXPECT_EQ(again.code, 0) << said(tune("1s"), again);
  const std::set<Timing> all = timings(samples_);
  EXPECT_TRUE(std::ranges::includes(all, earlier)) << "every row of it";
}

TEST_F(TuningRunTest, BenchPrintsWhatItHasAtCtrlC) {
  const pid_t child = start({"bench", "--shapes", "rows4_seqk64..512", "--budget", "60s", "--json"});
  while (!fs::exists(root_ / "err") || !has(read(root_ / "err"), "measuring"))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  kill(child, SIGINT);
  const ProgramResult ended = end(child);
  EXPECT_EQ(ended.code, 0) << ended.err;
  EXPECT_TRUE(has(ended.err, "the results so far follow")) << ended.err;
  EXPECT_TRUE(parse_json(ended.out, "bench", 1 << 24)) << ended.out;
}

// The budget is respected; the limit is generous because other programs may use the machine.
TEST_F(TuningRunTest, AShortBudgetEndsSoon) {
  const auto begin = std::chrono::steady_clock::now();
  const ProgramResult ended = run(tune("1s", "rows4_seqk64..65536"));
  EXPECT_EQ(ended.code, 0) << said(tune("1s"), ended);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(240)) << "others may use the cores";
  EXPECT_FALSE(fs::exists(checkpoint_));
  EXPECT_TRUE(has(ended.out, "expected residual regret")) << ended.out;
}

// With other programs on every core it measures and reports, but does not install.
TEST_F(TuningRunTest, ABusyMachineInstallsNothing) {
  std::atomic<bool> stop = false;
  std::vector<std::thread> others;
  for (unsigned i = 0; i < 3 * std::thread::hardware_concurrency(); ++i)
    others.emplace_back([&] {
      while (!stop) {
      }
    });
  Words words = tune("2s", "rows4+64_seqk64..8192");
  words.pop_back();
  const ProgramResult ended = run(words);
  stop = true;
  for (std::thread& other : others) other.join();
  EXPECT_EQ(ended.code, 3) << said(words, ended);
  EXPECT_TRUE(has(ended.out, "not installed: ")) << ended.out;
  EXPECT_TRUE(has(ended.out, "metallic apply --force")) << ended.out;
  EXPECT_FALSE(fs::exists(installed()));
  EXPECT_TRUE(fs::exists(path("D/report.html")));
  good({"apply", "D/profile.json", "--force"});
  EXPECT_TRUE(fs::exists(installed()));
}

}  // namespace
}  // namespace metallic::cli
