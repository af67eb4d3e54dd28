// SPDX-License-Identifier: Apache-2.0
// The run log through the C interface: what is counted, timed, traced and recorded, and that it is written once all is over.
#include "dispatch/run_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "device/cpu/thread_pool.h"
#include "device/cuda/cuda_devices.h"
#include "dispatch/context.h"
#define METALLIC_IN_TREE
#include "metallic/metallic.hpp"
#include "ops/label.h"

#ifdef METALLIC_WITH_CUDA
#include "device/cuda/memory.h"
#endif

namespace metallic {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

class RunLogTest : public testing::Test {
 protected:
  RunLogTest() {
    std::string name = (fs::temp_directory_path() / "metallic_run_log_test.XXXXXX").native();
    root_ = mkdtemp(name.data());
    set("METALLIC_PROFILE", "none");
    set("METALLIC_SOFTMAX_VARIANT", "cpu_vec");
  }
  ~RunLogTest() override {
    for (const std::string& name : set_) unsetenv(name.c_str());
    fs::remove_all(root_);
  }
  void set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    set_.insert(name);
  }
  std::string read(const std::string& name) const {
    const auto text = read_file(root_ / name, 256 << 20);
    EXPECT_TRUE(text) << text.error().message;
    return text.value_or("");
  }
  fs::path path(const std::string& name) const { return root_ / name; }

  static mtl::Context context() { return mtl::Context({.threads = 1}); }
  static void run(const mtl::Plan& plan, int times, int64_t elements = 4 * 64) {
    std::vector<float> in(static_cast<size_t>(elements), 1.0f), out(in.size());
    for (int i = 0; i < times; ++i) plan.run(in.data(), out.data());
  }
  static void run(const mtl::Context& context, const mtl::Softmax& softmax, int times) {
    mtl::Plan plan = context.plan(softmax);
    run(plan, times);
  }

  fs::path root_;
  std::set<std::string> set_;
};

TEST_F(RunLogTest, IsOffWhereNothingAsksForIt) {
  testing::internal::CaptureStderr();
  run(context(), mtl::softmax(4, 64), 3);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  cpu::Pool one(1);
  const auto none = RunLog::create(Environment{}, DeviceInfo{}, one);
  ASSERT_TRUE(none);
  EXPECT_EQ(*none, nullptr);
}

TEST_F(RunLogTest, TheProfilerSumsUpTheLongestFirst) {
  set("METALLIC_GPU_PROFILER", "true");
  testing::internal::CaptureStderr();
  {
    const mtl::Context context = RunLogTest::context();
    run(context, mtl::softmax(4, 64), 3);
    run(context, mtl::softmax(4, 64), 4);  // another plan of the same problem
    context.plan(mtl::softmax(4, 32));     // never run
    mtl::Plan large = context.plan(mtl::softmax(64, 4096));
    run(large, 2, 64 * 4096);
  }
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, testing::ContainsRegex("softmax +rows4_seqk64 +f32 +cpu_vec@unroll=[0-9] +7 "));
  EXPECT_THAT(text, testing::ContainsRegex("softmax +rows64_seqk4096 +f32 +cpu_vec@unroll=[0-9] +2 "));
  EXPECT_LT(text.find("rows64_seqk4096"), text.find("rows4_seqk64")) << text;
  EXPECT_THAT(text, Not(HasSubstr("seqk32")));
}

TEST_F(RunLogTest, TracesEveryRunForPerfetto) {
  set("METALLIC_TRACE", path("deep/trace.json"));
  {
    const mtl::Context context = RunLogTest::context();
    run(context, mtl::softmax(4, 64), 3);
    std::thread other([&] { run(context, mtl::softmax(8, 32), 1); });
    other.join();
    EXPECT_FALSE(fs::exists(path("deep/trace.json"))) << "written at the end";
  }
  const Json trace = Json::parse(read("deep/trace.json"));
  EXPECT_EQ(trace["otherData"]["dropped_events"], 0);
  ASSERT_EQ(trace["traceEvents"].size(), 4u);
  std::set<int64_t> threads;
  double last = 0;
  for (const Json& event : trace["traceEvents"]) {
    EXPECT_EQ(event["ph"], "X");
    EXPECT_EQ(event["name"], "softmax");
    EXPECT_EQ(event["pid"], getpid());
    EXPECT_EQ(event["args"]["variant"], "cpu_vec");
    EXPECT_EQ(event["args"]["dtype"], "f32");
    EXPECT_THAT(event["args"]["tuning"].get<std::string>(), HasSubstr("unroll="));
    EXPECT_GE(event["ts"].get<double>(), last) << "one after the other";
    last = event["ts"].get<double>() + event["dur"].get<double>();
    threads.insert(event["tid"].get<int64_t>());
  }
  EXPECT_EQ(trace["traceEvents"][3]["args"]["label"], "rows8_seqk32");
  EXPECT_EQ(threads.size(), 2u);
}

TEST_F(RunLogTest, AContextWithoutRunsLeavesAnEarlierTrace) {
  set("METALLIC_TRACE", path("trace.json"));
  run(context(), mtl::softmax(4, 64), 1);
  context().plan(mtl::softmax(4, 64));
  EXPECT_EQ(Json::parse(read("trace.json"))["traceEvents"].size(), 1u);
}

TEST_F(RunLogTest, DropsAndCountsWhatATraceHasNoRoomFor) {
  set("METALLIC_TRACE", path("trace.json"));
  constexpr int kRoom = 1 << 18;
  {
    const mtl::Context context = RunLogTest::context();
    mtl::Plan plan = context.plan(mtl::softmax(1, 1));
    run(plan, kRoom + 5, 1);
  }
  const std::string text = read("trace.json");
  EXPECT_THAT(text.substr(0, 200), HasSubstr("\"dropped_events\": 5,"));
  size_t events = 0;
  for (size_t at = 0; (at = text.find("\"ph\"", at)) != std::string::npos; ++at) ++events;
  EXPECT_EQ(events, kRoom);
}

TEST_F(RunLogTest, RecordsWhatRanAndAddsToTheFile) {
  set("METALLIC_RECORD", path("record"));
  const auto lines = [&] {
    const std::string text = read("record");
    return text.substr(text.find('\n') + 1);
  };
  {
    const mtl::Context first = context(), second = context();
    run(first, mtl::softmax(4, 64), 3);
    run(second, mtl::softmax(4, 64), 1);
    run(second, mtl::softmax(4, 32).strides(64, 64), 2);
    run(second, mtl::softmax(4, 32), 5);
    first.plan(mtl::softmax(4, 16));  // never run
  }
  EXPECT_EQ(lines(),
            "rows4_seqk32 5 f32  # softmax\nrows4_seqk64 4 f32  # softmax\n"
            "rows4_seqk32 2 f32  # softmax in_stride=64 out_stride=64\n");
  run(context(), mtl::softmax(4, 64), 10);
  EXPECT_THAT(lines(), testing::StartsWith("rows4_seqk64 14 f32  # softmax\n")) << "counts add up over contexts and programs";
  const std::string before = read("record");
  context();
  EXPECT_EQ(read("record"), before);
}

TEST_F(RunLogTest, ProcessesThatEndAtOnceLoseNoCount) {
  set("METALLIC_RECORD", path("record"));
  std::vector<pid_t> applications;
  for (int i = 0; i < 4; ++i)
    if (applications.push_back(fork()); applications.back() == 0) {
      for (int round = 0; round < 10; ++round) run(context(), mtl::softmax(4, 64), 1);
      _exit(0);
    }
  for (const pid_t application : applications) waitpid(application, nullptr, 0);
  EXPECT_THAT(read("record"), HasSubstr("\nrows4_seqk64 40 f32  # softmax\n"));
  EXPECT_EQ(std::distance(fs::directory_iterator(root_), fs::directory_iterator()), 1) << "no lock and no temporary file";
}

TEST_F(RunLogTest, AComposedRunCountsOnce) {
  set("METALLIC_RECORD", path("record"));
  {
    const mtl::Context context = RunLogTest::context();
    mtl::Plan plan = context.plan(mtl::sdpa(1, 2, 1, 1, 16, 8));
    std::vector<float> q(2 * 8, 1), kv(16 * 8, 1), out(2 * 8);
    plan.run(q.data(), kv.data(), kv.data(), out.data());
  }
  EXPECT_THAT(read("record"), HasSubstr("\nbatch1_h2kv1_seqq1_seqk16_d8 1 f32  # sdpa\n"));
  EXPECT_THAT(read("record"), Not(HasSubstr("matmul")));
}

#ifdef METALLIC_WITH_CUDA
TEST_F(RunLogTest, OnAGpuTheDeviceTimesRuns) {
  if (cuda::devices().empty()) GTEST_SKIP() << "this machine has no CUDA device";
  set("METALLIC_SOFTMAX_VARIANT", "cuda_vec");
  set("METALLIC_GPU_PROFILER", "true");
  set("METALLIC_TRACE", path("trace.json"));
  constexpr int kRuns = 6000, kCaptured = 3;  // more than are timed at once
  constexpr int64_t kRows = 4096, kKeys = 4096;
  const auto memory = cuda::Memory::allocate(kRows * kKeys * sizeof(float));
  ASSERT_TRUE(memory);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  testing::internal::CaptureStderr();
  {
    const mtl::Context context({.device = "cuda:0", .stream = stream});
    mtl::Plan plan = context.plan(mtl::softmax(kRows, kKeys));
    void* const at = memory->data();
    for (int i = 0; i < kRuns; ++i) plan.run(at, at);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    for (int i = 0; i < kCaptured; ++i) plan.run(at, at);
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    cudaGraphDestroy(graph);
  }
  cudaStreamDestroy(stream);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("on cuda:0"));
  EXPECT_THAT(text, testing::ContainsRegex("rows4096_seqk4096 +f32 +cuda_vec@[a-z0-9=;]+ +6003 "));
  EXPECT_THAT(text, HasSubstr("3 runs were captured in graphs"));
  const Json trace = Json::parse(read("trace.json"));
  int calls = 0, named = 0;
  std::vector<std::pair<double, double>> runs;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "M")
      named += event["args"]["name"] == "cuda:0";
    else if (event["tid"] == 0)
      runs.emplace_back(event["ts"], event["dur"]);
    else
      ++calls;
  }
  EXPECT_EQ(named, 1);
  EXPECT_EQ(calls, kRuns + kCaptured);
  EXPECT_GT(runs.size(), kRuns / 2u) << "few are dropped";
  std::ranges::sort(runs);
  for (const auto& [begin, time] : runs) {
    // 128 MiB move at 1 to 40 TB/s; the clock counts in half microseconds.
    EXPECT_GT(time, 3);
    EXPECT_LT(time, 1e4);
  }
}
#endif

TEST_F(RunLogTest, PlansThatOutliveTheirContextAreLoggedToTheirEnd) {
  set("METALLIC_GPU_PROFILER", "true");
  set("METALLIC_RECORD", path("record"));
  struct OneThread final : mtl::Executor {
    int threads() const override { return 1; }
    void parallel(size_t count, Task task, void* context) override {
      for (size_t i = 0; i < count; ++i) task(context, i);
    }
  } executor;
  testing::internal::CaptureStderr();
  {
    // The function for messages goes with the context: what is said afterwards must not go there.
    auto context = std::make_unique<mtl::Context>(
        mtl::Options{.executor = &executor, .log = [](std::string_view, std::string_view) { FAIL() << "called"; }});
    auto plan = std::make_unique<mtl::Plan>(context->plan(mtl::softmax(4, 64)));
    run(*plan, 1);
    context.reset();
    run(*plan, 2);
    EXPECT_FALSE(fs::exists(path("record")));
    plan.reset();
    EXPECT_THAT(read("record"), HasSubstr("rows4_seqk64 3 f32"));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::ContainsRegex("rows4_seqk64 .* 3 "));
}

TEST_F(RunLogTest, CountsOfSeveralThreadsAddUp) {
  set("METALLIC_RECORD", path("record"));
  {
    const mtl::Context context = RunLogTest::context();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { run(context, mtl::softmax(4, 64), 250); });
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_THAT(read("record"), HasSubstr("rows4_seqk64 1000 f32"));
}

TEST_F(RunLogTest, RefusesFilesThatItCannotOrMustNotWrite) {
  ASSERT_TRUE(write_file(path("notes"), "important\n"));
  const auto refusal = [&](const std::string& variable, const std::string& file) {
    set(variable, file);
    std::string message;
    try {
      context();
    } catch (const mtl::Error& error) {
      message = error.what();
    }
    unsetenv(variable.c_str());
    return message;
  };
  EXPECT_THAT(refusal("METALLIC_RECORD", path("notes")), HasSubstr("METALLIC_RECORD: "));
  EXPECT_THAT(refusal("METALLIC_RECORD", path("notes")), HasSubstr("no record of metallic's"));
  EXPECT_EQ(read("notes"), "important\n");
  EXPECT_THAT(refusal("METALLIC_RECORD", path("notes/below")), HasSubstr("Not a directory"));
  EXPECT_THAT(refusal("METALLIC_TRACE", root_), HasSubstr("METALLIC_TRACE: "));
  EXPECT_THAT(refusal("METALLIC_GPU_PROFILER", "1"), HasSubstr("use true or false"));
}

TEST_F(RunLogTest, ARecordThatBecameUnreadableIsKeptAndSaid) {
  set("METALLIC_RECORD", path("record"));
  testing::internal::CaptureStderr();
  {
    const mtl::Context context = RunLogTest::context();
    run(context, mtl::softmax(4, 64), 1);
    ASSERT_TRUE(write_file(path("record"), "important\n"));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("metallic warning: METALLIC_RECORD: "));
  EXPECT_EQ(read("record"), "important\n");
}

TEST_F(RunLogTest, DebugLogsAComposedDecisionOnOneLine) {
  std::vector<std::string> lines;
  set("METALLIC_LOG_LEVEL", "debug");
  set("METALLIC_SDPA_VARIANT", "cpu_materialized");
  const mtl::Context context({.threads = 1, .log = [&](std::string_view level, std::string_view text) {
                                if (level == "debug") lines.emplace_back(text);
                              }});
  context.plan(mtl::sdpa(1, 2, 1, 1, 16, 8));
  ASSERT_EQ(lines.size(), 1u) << testing::PrintToString(lines);
  EXPECT_THAT(lines[0], AllOf(testing::StartsWith("sdpa "), HasSubstr("; matmul "), HasSubstr("; softmax ")));
}

}  // namespace
}  // namespace metallic
