// SPDX-License-Identifier: Apache-2.0
// Sampler: paired random blocks, reproducible orders, weights, and correct results only.
#include "tuner/bench/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "device/cpu/cpu_info.h"
#include "device/cpu/thread_pool.h"
#include "device/peers/cpu_libraries.h"
#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/registry.h"
#include "tuner/bench/idle.h"

namespace metallic {
namespace {

// Refuses to plan parts of composed kernels: no candidate here has any.
class NoPlanner final : public Planner {
 public:
  Result<Plan> plan_part(const Problem&) override { return fail(Code::internal, "no parts here"); }
};

class SamplerTest : public testing::Test {
 protected:
  // Little memory bounds what cold operands rotate through, which takes seconds with the caches of some servers.
  SamplerTest() {
    device_.cpu().llc_bytes = 1 << 20;
    device_.memory_bytes = 256 << 20;
  }

  Result<Sampler> create(std::initializer_list<std::string_view> labels, const SamplerOptions& options) {
    std::vector<WeightedProblem> problems;
    for (const auto text : labels) problems.push_back({.problem = *parse_label(text)});
    return Sampler::create(problems, device_, pool_, planner_, options);
  }

  // Four blocks of each unit in turn, with all candidates.
  Result<std::vector<SampleRow>> run(std::initializer_list<std::string_view> labels, const SamplerOptions& options) {
    METALLIC_TRY(Sampler sampler, create(labels, options));
    std::vector<SampleRow> rows;
    for (int block = 0; block < kBlocks; ++block)
      for (size_t unit = 0; unit < sampler.units().size(); ++unit) {
        METALLIC_TRY(const auto timed, sampler.time_block(unit, all_of(sampler, unit)));
        rows.insert(rows.end(), timed.begin(), timed.end());
      }
    return rows;
  }

  std::vector<SampleRow> rows(std::initializer_list<std::string_view> labels, const SamplerOptions& options) {
    auto result = run(labels, options);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(std::vector<SampleRow>());
  }

  static std::vector<bool> all_of(const Sampler& sampler, size_t unit) {
    return std::vector<bool>(sampler.units()[unit].candidates.size(), true);
  }

  static constexpr int kBlocks = 4;
  DeviceInfo device_ = cpu::device();
  cpu::Pool pool_{2};
  NoPlanner planner_;
};

SamplerOptions quick(uint64_t seed = 1) { return {.seed = seed, .min_sample_s = 2e-5}; }

std::string kernel_of(const SampleRow& row) { return row.variant + "@" + row.tuning; }

using Block = std::map<int64_t, std::string>;  // kernels by their order
std::map<std::tuple<std::string, std::string, int64_t>, Block> blocks_of(const std::vector<SampleRow>& rows) {
  std::map<std::tuple<std::string, std::string, int64_t>, Block> blocks;
  for (const SampleRow& row : rows) {
    const bool is_new = blocks[{row.parameters, row.cache, row.block}].emplace(row.order, kernel_of(row)).second;
    EXPECT_TRUE(is_new) << "an order number twice";
  }
  return blocks;
}

std::set<std::string> all_candidates(std::string_view text, const DeviceInfo& device) {
  Problem problem = *parse_label(text);
  problem.threads = 2;
  std::set<std::string> all;
  for (const Variant& variant : variants(problem.op()))
    for (const Tuning& tuning : variant.tunings)
      if (variant.family != "reference" && !variant.rejects(problem, tuning, device))
        all.insert(fmt::format("{}@{}", variant.name, to_string(tuning)));
  return all;
}

TEST_F(SamplerTest, TimesEveryCandidateOnceABlock) {
  const auto blocks = blocks_of(rows({"rows8_seqk256", "4x256x192_tb", "batch2_seqq4_seqk64_causal"}, quick()));
  for (const auto& [key, block] : blocks) {
    const auto& [text, cache, number] = key;
    std::set<std::string> seen;
    for (const auto& [place, name] : block) seen.insert(name);
    EXPECT_EQ(seen, all_candidates(text, device_)) << text << ' ' << cache << " block " << number;
    EXPECT_EQ(seen.size(), block.size()) << "a candidate twice in a block";
    EXPECT_EQ(block.begin()->first, 0);
    EXPECT_EQ(block.rbegin()->first, static_cast<int64_t>(block.size()) - 1) << "the order is a permutation";
  }
  EXPECT_EQ(blocks.size(), 4u * (2 + 1 + 2)) << "four blocks, softmax in both cache states, matmul in one";
}

TEST_F(SamplerTest, RowsSayWhatWasTimed) {
  const auto all = rows({"rows8_seqk256", "4x256x192_tb"}, quick(77));
  ASSERT_FALSE(all.empty());
  std::map<std::string, std::set<std::string>> caches;
  std::map<std::string, std::map<std::string, double>> weights;
  for (const SampleRow& row : all) {
    EXPECT_GT(row.time_ns, 0);
    EXPECT_GE(row.iterations, 1);
    EXPECT_EQ(row.seed, 77);
    EXPECT_EQ(row.threads, 2);
    EXPECT_EQ(row.dtype, "f32");
    EXPECT_EQ(row.device, fingerprint(device_));
    EXPECT_EQ(row.target, device_.isa());
    EXPECT_EQ(row.op, row.parameters == "rows8_seqk256" ? "softmax" : "matmul");
    EXPECT_EQ(row.benchmark, row.op + "_f32");
    caches[row.op].insert(row.cache);
    weights[row.op][row.cache] = row.weight;
  }
  EXPECT_EQ(caches["softmax"], (std::set<std::string>{"cold", "warm"}));
  EXPECT_EQ(caches["matmul"], (std::set<std::string>{"cold"}));
  EXPECT_EQ(weights["softmax"]["cold"], 0.5) << "a problem's weight is split over its cache states";
  EXPECT_EQ(weights["softmax"]["warm"], 0.5);
  EXPECT_EQ(weights["matmul"]["cold"], 1);
}

TEST_F(SamplerTest, TheSeedFixesTheOrders) {
  const auto first = blocks_of(rows({"rows8_seqk256", "4x256x192_tb"}, quick(5)));
  EXPECT_EQ(first, blocks_of(rows({"rows8_seqk256", "4x256x192_tb"}, quick(5))));
  EXPECT_NE(first, blocks_of(rows({"rows8_seqk256", "4x256x192_tb"}, quick(6))));
  std::set<std::string> leaders;  // who came first in the blocks of one series
  for (const auto& [key, block] : first)
    if (std::get<0>(key) == "rows8_seqk256") leaders.insert(block.at(0));
  EXPECT_GT(leaders.size(), 1u) << "each block has its own order";
}

TEST_F(SamplerTest, TimesOnlyTheLive) {
  auto sampler = create({"4x256x192_tb"}, quick());
  ASSERT_TRUE(sampler) << sampler.error().message;
  const auto& candidates = sampler->units()[0].candidates;
  ASSERT_GT(candidates.size(), 2u);
  std::vector<bool> live(candidates.size(), false);
  live[0] = live[2] = true;
  const auto rows = sampler->time_block(0, live);
  ASSERT_TRUE(rows) << rows.error().message;
  std::set<std::string> timed, wanted;
  for (const SampleRow& row : *rows) timed.insert(kernel_of(row));
  for (const size_t i : {0, 2}) wanted.insert(fmt::format("{}@{}", candidates[i].variant->name, to_string(candidates[i].tuning)));
  EXPECT_EQ(timed, wanted);
  EXPECT_EQ(rows->size(), 2u);
}

TEST_F(SamplerTest, NumbersBlocksByUnitAndGoesOnFromAnEarlierRun) {
  auto sampler = create({"rows8_seqk256"}, quick());
  ASSERT_TRUE(sampler) << sampler.error().message;
  ASSERT_EQ(sampler->units().size(), 2u) << "warm and cold";
  sampler->resume(1, 7);
  const auto block = [&](size_t unit) {
    const auto rows = sampler->time_block(unit, all_of(*sampler, unit));
    EXPECT_TRUE(rows) << rows.error().message;
    std::set<int64_t> numbers;
    for (const SampleRow& row : *rows) numbers.insert(row.block);
    EXPECT_EQ(numbers.size(), 1u);
    return *numbers.begin();
  };
  EXPECT_EQ(block(0), 0);
  EXPECT_EQ(block(1), 7);
  EXPECT_EQ(block(1), 8);
  EXPECT_EQ(block(0), 1);
  EXPECT_GT(sampler->noise().readings, 0) << "the reference workload is timed between blocks";
}

// Skips the last task of each run, so that a part of the output keeps its NaN.
class Lazy final : public Executor {
 public:
  int threads() const override { return 2; }
  void run(size_t count, Task task, void* context) override {
    for (size_t i = 0; i + 1 < count; ++i) task(context, i);
  }
};

TEST_F(SamplerTest, RefusesAWrongResult) {
  Lazy executor;
  const WeightedProblem problem{.problem = *parse_label("rows64_seqk4096")};
  auto options = quick();
  options.caches = {Cache::warm};
  auto sampler = Sampler::create({&problem, 1}, device_, executor, planner_, options);
  ASSERT_TRUE(sampler) << sampler.error().message;
  const auto rows = sampler->time_block(0, all_of(*sampler, 0));
  ASSERT_FALSE(rows);
  EXPECT_EQ(rows.error().code, Code::internal);
  EXPECT_NE(rows.error().message.find("computes rows64_seqk4096"), std::string::npos) << rows.error().message;
}

TEST_F(SamplerTest, TimesOnlyWhatIsWanted) {
  SamplerOptions options = quick();
  options.wanted = [](const Variant& variant) { return variant.name == "cpu_vec"; };
  options.caches = {Cache::warm};
  for (const SampleRow& row : rows({"rows8_seqk256"}, options)) {
    EXPECT_EQ(row.variant, "cpu_vec");
    EXPECT_EQ(row.cache, "warm");
    EXPECT_EQ(row.weight, 1);
  }
  options.wanted = [](const Variant&) { return false; };
  const auto none = run({"rows8_seqk256"}, options);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::unsupported);
}

TEST_F(SamplerTest, RefusesWhatDoesNotFitInMemory) {
  device_.memory_bytes = int64_t{1} << 30;
  EXPECT_TRUE(run({"1024x1024x4"}, quick()));
  for (const char* text : {"rows16384_seqk16384", "16384x16384x1", "1x16384x16384_tb"}) {
    const auto result = run({"rows8_seqk256", text}, quick());
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Code::out_of_memory);
    EXPECT_NE(result.error().message.find(text), std::string::npos) << result.error().message;
  }
}

// beta ≠ 0 reads the output, transposed and empty operands are laid out differently: each is checked against the oracle first.
TEST_F(SamplerTest, TakesAllShapes) {
  for (const char* text : {"3x64x5_a0.5_b2", "64x64x4_ta_a1_b-1", "64x32x4_ta_tb", "batch3_8x16x8", "rows1_seqk1", "1x1x1",
                           "batch2_seqq3_seqk5_causal_offset-1", "rows0_seqk8", "rows8_seqk0", "0x4x4", "4x0x4"}) {
    const auto all = rows({text}, quick());
    EXPECT_FALSE(all.empty()) << text;
    for (const SampleRow& row : all) EXPECT_GT(row.time_ns, 0) << text;
  }
}

// Runs tasks on the calling thread and counts the runs during which another thread of the process is awake.
class Watchful final : public Executor {
 public:
  int threads() const override { return 2; }
  void run(size_t count, Task task, void* context) override {
    ++runs;
    if (!is_idle()) ++disturbed;
    for (size_t i = 0; i < count; ++i) task(context, i);
  }
  int runs = 0, disturbed = 0;
};

TEST_F(SamplerTest, LibrariesSleepBeforeTheNextCandidate) {
  device_.libraries = cpu::libraries();
  if (!find_library(device_.libraries, "openblas")) GTEST_SKIP() << "this machine has no OpenBLAS, or its threads cannot be seen";
  Problem problem = *parse_label("192x512x192");
  problem.threads = 2;
  Watchful executor;
  SamplerOptions options = quick();
  options.wanted = [](const Variant& variant) { return variant.library() == "openblas" || variant.name == "cpu_gemm"; };
  wait_until_idle();  // the fixture's own pool
  const WeightedProblem weighted{.problem = problem};
  auto sampler = Sampler::create({&weighted, 1}, device_, executor, planner_, options);
  ASSERT_TRUE(sampler) << sampler.error().message;
  executor.runs = executor.disturbed = 0;  // runs before the first block do not count
  for (int block = 0; block < kBlocks; ++block) {
    const auto rows = sampler->time_block(0, all_of(*sampler, 0));
    ASSERT_TRUE(rows) << rows.error().message;
    EXPECT_EQ(std::ranges::count(*rows, "cpu_openblas", &SampleRow::variant), 1);
  }
  EXPECT_GT(executor.runs, 8);
  EXPECT_EQ(executor.disturbed, 0) << "of " << executor.runs;

  // Without the wait some would be awake: the test above is meaningful.
  const Variant* variant = find_variant(kMatmul, "cpu_openblas");
  const auto kernel = variant->prepare(problem, variant->tunings[0], device_, planner_);
  ASSERT_TRUE(kernel) << kernel.error().message;
  std::vector<float> a(192 * 512), b(512 * 192), c(192 * 192);
  int awake = 0;
  for (int i = 0; i < 10; ++i) {
    wait_until_idle();
    ASSERT_EQ((*kernel)->run({.in = {a.data(), b.data()}, .out = c.data()}, nullptr, executor), Code::ok);
    if (!is_idle()) ++awake;
  }
  EXPECT_TRUE(awake > 0 || device_.cpu().cores == 1);
}

}  // namespace
}  // namespace metallic
