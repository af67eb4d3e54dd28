// SPDX-License-Identifier: Apache-2.0
// Bench worker: its answers; bench client: programs that misbehave.
#include "tuner/bench/bench_worker.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/json.h"
#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "ops/planner.h"
#include "ops/registry.h"
#include "tuner/bench/bench_client.h"
#include "tuner/bench/idle.h"
#include "tuner/bench/timer.h"

namespace metallic {
namespace {

class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::internal, "no parts here"); }
};

// Chooses the first variant that can run the problem.
class FirstVariant final : public KernelSource {
 public:
  explicit FirstVariant(const DeviceInfo& device) : device_(device) {}
  Result<std::pair<const Variant*, Tuning>> choose(const Problem& problem) override {
    for (const Variant& variant : variants(problem.op()))
      if (!variant.rejects(problem, variant.tunings[0], device_)) return std::pair(&variant, variant.tunings[0]);
    return fail(Code::unsupported, "none");
  }
  Result<std::unique_ptr<const Kernel>> prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) override {
    return variant.prepare(problem, tuning, device_, planner_);
  }

 private:
  const DeviceInfo& device_;
  NoPlanner planner_;
};

class BenchWorkerTest : public testing::Test {
 protected:
  std::vector<Json> answers(const std::string& requests) {
    std::istringstream in(requests);
    std::ostringstream out;
    FirstVariant source(device_);
    run_bench_worker(in, out, device_, pool_, source);
    std::vector<Json> all;
    std::istringstream lines(out.str());
    for (std::string line; std::getline(lines, line);) all.push_back(Json::parse(line));
    return all;
  }

  DeviceInfo device_ = cpu::device();
  cpu::Pool pool_{2};
};

TEST_F(BenchWorkerTest, AnswersEachRequest) {
  const auto all = answers(
      R"({"ask": "hello"}
{"ask": "choose", "label": "rows8_seqk256", "dtype": "f32"}
{"ask": "choose", "label": "rows8_seqk256", "dtype": "f32", "variant": "cpu_vec", "tuning": "unroll=4"}
{"ask": "choose", "label": "rows8_seqk256", "dtype": "f32", "variant": "cpu_gone", "tuning": ""}
{"ask": "open", "seed": 1, "arms": [{"label": "rows8_seqk256", "dtype": "f32", "variant": "cpu_vec", "tuning": "unroll=4", "cache": "warm"}]}
{"ask": "time", "arm": 0, "seconds": 1e-4, "place": 0}
)");
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0]["protocol"], kBenchProtocol);
  EXPECT_EQ(all[0]["device"], fingerprint(device_));
  EXPECT_EQ(all[0]["threads"], 2);
  EXPECT_EQ(all[2], (Json{{"variant", "cpu_vec"}, {"tuning", "unroll=4"}})) << "the wanted kernel if it can run";
  EXPECT_EQ(all[3], all[1]) << "its own choice if the wanted one does not exist";
  EXPECT_EQ(all[4], (Json{{"arms", 1}}));
  EXPECT_GT(all[5]["time_ns"], 0.0);
  EXPECT_GE(all[5]["iterations"], 1);
}

TEST_F(BenchWorkerTest, AnswersWrongRequestsWithAnError) {
  const auto all = answers(R"(
nonsense
[]
{"ask": "dance"}
{"ask": "choose", "label": "rows8", "dtype": "f32"}
{"ask": "choose", "label": "rows8_seqk8", "dtype": "f99"}
{"ask": "time", "arm": 0, "seconds": 1}
{"ask": "open", "seed": 1, "arms": [{"label": "rows8_seqk8", "dtype": "f32", "variant": "cpu_vec", "tuning": "unroll=4", "cache": "hot"}]}
{"ask": "open", "seed": 1, "arms": [{"label": "rows8_seqk8", "dtype": "f32", "variant": "cpu_gone", "tuning": "", "cache": "warm"}]}
{"ask": "open", "seed": -1, "arms": []}
{"ask": "time", "arm": 0, "seconds": 1}
)");
  ASSERT_EQ(all.size(), 11u);
  for (const Json& answer : all) EXPECT_TRUE(answer.contains("error")) << answer;
}

TEST_F(BenchWorkerTest, ThreadsSleepWhenATimeIsAnswered) {
  for (int i = 0; i < 5; ++i) {
    answers(
        R"({"ask": "open", "seed": 1, "arms": [{"label": "rows64_seqk256", "dtype": "f32", "variant": "cpu_vec", "tuning": "unroll=4", "cache": "warm"}]}
{"ask": "time", "arm": 0, "seconds": 1e-3, "place": 0}
)");
    EXPECT_TRUE(is_idle());
  }
}

TEST(PoolRest, SpinningWorkersSleepAtOnce) {
  cpu::Pool pool(2);
  double spent = 1;
  for (int i = 0; i < 20; ++i) {  // the best of several: other programs may use the machine
    pool.parallel(2, [](size_t) {});
    const auto begin = Clock::now();
    pool.rest();
    wait_until_idle();
    spent = std::min(spent, seconds_since(begin));
  }
  EXPECT_LT(spent, 0.02) << "by themselves they spin for 70 ms";
}

TEST(BenchClient, GivesUpOnAProgramThatHangs) {
  const auto path = std::filesystem::temp_directory_path() / ("metallic_bench_worker_test_" + std::to_string(getpid()));
  std::ofstream(path) << "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  const auto begin = Clock::now();
  const auto memory = SharedMemory::create();
  ASSERT_TRUE(memory);
  const auto started = BenchClient::start(path, *memory, 0.2);
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("did not answer within 0.2 s"), std::string::npos) << started.error().message;
  EXPECT_LT(seconds_since(begin), 10) << "and it was killed";
  std::filesystem::remove(path);
  EXPECT_FALSE(BenchClient::start(path, *memory));
}

}  // namespace
}  // namespace metallic
