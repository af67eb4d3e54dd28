// SPDX-License-Identifier: Apache-2.0
// Starts bench workers, agrees with them on kernels, and times them block by block.
#include "tools/metallic/gate_builds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "ops/label.h"
#include "tuner/bench/bench_worker.h"
#include "tuner/bench/sampler.h"
#include "tuner/bench/timer.h"

namespace metallic::cli {
namespace {

// Long compared with the clock and the waking of threads; short compared with slow phases of a machine, which both samples of a
// block should share.
constexpr double kSampleSeconds = 2e-3;
constexpr double kOpenTimeoutSeconds = 600;  // to fill operands and check all results

Json request(const char* ask, const tune::GateBenchmark& b) {
  return {{"ask", ask}, {"label", b.label}, {"dtype", b.dtype}, {"variant", b.variant}, {"tuning", b.tuning}, {"cache", b.cache}};
}

// The kernel of `benchmark` if it names one and the build has it, else the kernel that the build chooses.
Result<std::pair<std::string, std::string>> choice(BenchClient& build, const tune::GateBenchmark& benchmark) {
  Json asked = request("choose", benchmark);
  if (benchmark.variant.empty()) asked.erase("variant");
  METALLIC_TRY(const Json answer, build.ask(asked));
  const JsonObject object(answer, in_quotes(build.program()) + ":");
  METALLIC_TRY(const std::string variant, object.text("variant"));
  METALLIC_TRY(const std::string tuning, object.text("tuning"));
  return std::pair(variant, tuning);
}

Status open(BenchClient& build, std::span<const tune::GateBenchmark> benchmarks, uint64_t seed) {
  auto kernels = Json::array();
  for (const tune::GateBenchmark& benchmark : benchmarks) kernels.push_back(request("open", benchmark));
  METALLIC_TRY(const Json answer,
               build.ask({{"ask", "open"}, {"seed", seed}, {"memory", kSharedMemoryFd}, {"arms", kernels}}, kOpenTimeoutSeconds));
  const auto count = static_cast<int64_t>(benchmarks.size());
  METALLIC_CHECK(JsonObject(answer, in_quotes(build.program()) + ":").integer("arms", count, count));
  return {};
}

// Nanoseconds of a call. Both builds move through the same memory in turn: what one has just read is warm for the other.
Result<double> time(BenchClient& build, size_t kernel, int64_t& place) {
  METALLIC_TRY(const Json answer, build.ask({{"ask", "time"}, {"arm", kernel}, {"seconds", kSampleSeconds}, {"place", place}}));
  const JsonObject object(answer, in_quotes(build.program()) + ":");
  METALLIC_TRY(const double time_ns, object.number("time_ns"));
  METALLIC_TRY(place, object.integer("place", 0, INT64_MAX));
  if (!(time_ns > 0))
    return fail(Code::invalid_argument, "{} answered a time of {} ns: it must be above 0", in_quotes(build.program()), time_ns);
  return time_ns;
}

Result<std::unique_ptr<BenchClient>> started(const std::string& program, const SharedMemory& memory) {
  METALLIC_TRY(auto process, BenchClient::start(program, memory));
  return std::make_unique<BenchClient>(std::move(process));
}

}  // namespace

Status BuildPair::open(uint64_t random) {
  if (random >> 63 != 0) {
    METALLIC_CHECK(cli::open(*base, benchmarks, seed));
    return cli::open(*head, of_head, seed);
  }
  METALLIC_CHECK(cli::open(*head, of_head, seed));
  return cli::open(*base, benchmarks, seed);
}

Status BuildPair::restart(uint64_t random) {
  const std::string base_program = base->program(), head_program = head->program();
  base.reset();  // before starting new ones: memory may not suffice for four
  head.reset();
  METALLIC_TRY(base, started(base_program, memory));
  METALLIC_TRY(head, started(head_program, memory));
  return open(random);
}

Result<BuildPair> start_builds(const std::string& base, const std::string& head, std::span<const WeightedProblem> problems,
                               std::span<const Cache> caches, uint64_t seed) {
  METALLIC_TRY(auto memory, SharedMemory::create());
  METALLIC_TRY(auto base_process, started(base, memory));
  METALLIC_TRY(auto head_process, started(head, memory));
  BuildPair builds{.memory = std::move(memory), .base = std::move(base_process), .head = std::move(head_process), .seed = seed};
  const BenchClient &b = *builds.base, &h = *builds.head;
  if (b.device() != h.device() || b.threads() != h.threads())
    return fail(Code::invalid_argument, "base runs {} threads on {}, head {} on {}: times of two devices cannot be compared",
                b.threads(), in_quotes(b.device()), h.threads(), in_quotes(h.device()));
  for (const WeightedProblem& weighted : problems) {
    const Problem& problem = weighted.problem;
    const std::vector<Cache> usual = usual_caches(problem.op());
    for (const Cache cache : caches.empty() ? std::span<const Cache>(usual) : caches) {
      tune::GateBenchmark benchmark{.label = label(problem),
                                    .dtype = std::string(name(problem.dtype)),
                                    .cache = std::string(name(cache)),
                                    .threads = b.threads()};
      METALLIC_TRY(std::tie(benchmark.variant, benchmark.tuning), choice(*builds.base, benchmark));
      if (std::ranges::find(builds.benchmarks, benchmark) != builds.benchmarks.end()) continue;
      tune::GateBenchmark there = benchmark;
      METALLIC_TRY(std::tie(there.variant, there.tuning), choice(*builds.head, benchmark));
      if (there != benchmark)
        builds.notes.push_back(
            fmt::format("head cannot run {}: it is timed with its own choice, {}", to_string(benchmark), to_string(there)));
      builds.benchmarks.push_back(std::move(benchmark));
      builds.of_head.push_back(std::move(there));
    }
  }
  METALLIC_CHECK(builds.open(std::mt19937_64(seed)()));
  return builds;
}

Status time_blocks(BuildPair& builds, const BlockOptions& options, const std::function<bool(size_t)>& wants,
                   const std::function<void(size_t, double)>& add) {
  std::mt19937_64 random(options.seed);
  std::vector<size_t> order(builds.benchmarks.size());
  std::iota(order.begin(), order.end(), size_t{0});
  int64_t place = 0;
  const auto begin = Clock::now();
  for (size_t round = 0; round < options.most_rounds; ++round) {
    const double so_far = seconds_since(begin);
    const double a_round = round == 0 ? 0 : so_far / static_cast<double>(round);
    if (round >= options.least_rounds && so_far + a_round > options.budget_s) break;
    std::ranges::shuffle(order, random);
    // Decided before the round, so that all wanted benchmarks get the same number of blocks.
    std::vector<size_t> wanted;
    std::ranges::copy_if(order, std::back_inserter(wanted), wants);
    if (wanted.empty()) break;
    if (round > 0 && round % kRoundsPerWorker == 0) METALLIC_CHECK(builds.restart(random()));
    for (const size_t benchmark : wanted) {
      options.progress(
          std::clamp(std::max(so_far / options.budget_s, static_cast<double>(round) / static_cast<double>(options.most_rounds)),
                     0.0, 1.0),
          fmt::format("block {}, {} of {} undecided", round + 1, wanted.size(), order.size()));
      const bool base_first = random() >> 63 != 0;
      METALLIC_TRY(const double first, time(base_first ? *builds.base : *builds.head, benchmark, place));
      METALLIC_TRY(const double second, time(base_first ? *builds.head : *builds.base, benchmark, place));
      add(benchmark, base_first ? std::log(second / first) : std::log(first / second));
    }
  }
  return {};
}

}  // namespace metallic::cli
