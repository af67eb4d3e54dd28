#include "tools/metallic/tuning_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <map>

#include "tools/metallic/progress.h"
#include "base/build.h"
#include "ops/label.h"
#include "tuner/bench/sampler.h"

namespace metallic::cli {
namespace {

std::atomic<bool> interrupted{false};

// The first Ctrl-C ends the campaign after its block; the second ends the program.
class UntilInterrupt {
 public:
  UntilInterrupt() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &before_);
  }
  ~UntilInterrupt() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// Seconds of one block before anything is known: each arm runs a call and an arm of 0.1 ms or a call, at 10 GB/s and 50 GFLOP/s.
double guess_seconds(const SampledUnit& unit) {
  const Work needed = work(unit.problem);
  const double call = std::max(needed.bytes / 1e10, needed.flops / 5e10);
  return static_cast<double>(unit.arms.size()) * (1e-4 + 2 * call);
}

tune::Allocation make_allocation(const Sampler& sampler, const tune::AllocationOptions& options) {
  std::vector<tune::Series> series;
  std::vector<double> seconds;
  for (const SampledUnit& unit : sampler.units()) {
    tune::Series& one = series.emplace_back();
    one.problem = unit.problem;
    one.label = label(unit.problem);
    one.cache = name(unit.cache);
    one.weight = unit.weight;
    for (const TimedCandidate& arm : unit.arms) one.arms.push_back({{std::string(arm.variant->name), to_string(arm.tuning)}, {}});
    seconds.push_back(guess_seconds(unit));
  }
  return {std::move(series), std::move(seconds), options};
}

// Times of a block's rows by the series' arms.
std::vector<double> times_of(const tune::Series& series, std::span<const SampleRow> rows) {
  std::vector<double> times(series.arms.size(), std::numeric_limits<double>::quiet_NaN());
  for (const SampleRow& row : rows)
    for (size_t arm = 0; arm < times.size(); ++arm)
      if (series.arms[arm].choice.variant == row.variant && series.arms[arm].choice.tuning == row.tuning)
        times[arm] = row.time_ns;
  return times;
}

// Feeds what an earlier run measured to the allocation; returns how long that had taken.
Result<double> replay(const Checkpoint& checkpoint, Sampler& sampler, tune::Allocation& allocation, const DeviceFacts& facts) {
  const auto& rows = checkpoint.earlier();
  const auto foreign = [&](std::string_view what) {
    return fail(Code::invalid_argument, "{} holds samples of an unfinished run of {}: finish that one, or delete the file",
                checkpoint.path().native(), what);
  };
  std::map<std::tuple<std::string, std::string, std::string>, size_t> units;
  for (size_t i = 0; i < sampler.units().size(); ++i) {
    const SampledUnit& unit = sampler.units()[i];
    units[{label(unit.problem), std::string(name(unit.problem.dtype)), std::string(name(unit.cache))}] = i;
  }
  double spent = 0;
  for (size_t begin = 0; begin < rows.size();) {
    const SampleRow& first = rows[begin];
    if (first.device != fingerprint(facts)) return foreign("another device");
    if (first.build != build_name()) return foreign("another build");
    const auto unit = units.find({first.parameters, first.dtype, first.cache});
    if (unit == units.end())
      return foreign(fmt::format("other shapes, such as {}, or another --budget", in_quotes(first.parameters)));
    size_t end = begin;
    while (end < rows.size() && rows[end].parameters == first.parameters && rows[end].dtype == first.dtype &&
           rows[end].cache == first.cache && rows[end].block == first.block)
      ++end;
    const auto times = times_of(allocation.series()[unit->second], std::span(rows).subspan(begin, end - begin));
    const double next_at = end < rows.size() ? rows[end].at_s : first.at_s;
    allocation.add(unit->second, times, std::max(next_at - first.at_s, 1e-6));
    sampler.resume(unit->second, first.block + 1);
    spent = std::max(spent, first.at_s);
    begin = end;
  }
  return spent;
}

}  // namespace

void print_noise(const TuningRun& sampled) {
  if (const Judgement judged = judge(sampled.noise); judged.trust != Trust::quiet) fmt::print(stderr, "{}\n", judged.why);
}

Result<TuningRun> run_tuning(std::span<const WeightedProblem> problems, Context& context, const SampleOptions& options,
                             tune::AllocationOptions allocation_options, Checkpoint* checkpoint) {
  const auto begin = std::chrono::steady_clock::now();
  const auto since_begin = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  SamplerOptions sampler_options{.seed = options.seed};
  sampler_options.wanted = [peers = options.peers](const Variant& variant) {
    return variant.family != "reference" && (peers || variant.library().empty());
  };
  if (!options.caches.empty()) {
    std::vector<Cache> caches;
    for (const Cache cache : {Cache::warm, Cache::cold})
      if (std::ranges::find(options.caches, name(cache)) != options.caches.end()) caches.push_back(cache);
    sampler_options.caches.fill(caches);
  }
  METALLIC_TRY(Sampler sampler, Sampler::create(problems, context.facts(), context.executor(), context, sampler_options));
  allocation_options.seed = options.seed;
  tune::Allocation allocation = make_allocation(sampler, allocation_options);
  TuningRun sampled;
  double earlier_s = 0;
  if (checkpoint) {
    METALLIC_TRY(earlier_s, replay(*checkpoint, sampler, allocation, context.facts()));
    sampled.rows = checkpoint->earlier();
  }
  const DeviceFacts& facts = context.facts();
  fmt::print(stderr, "measuring {} problems on {} ({}) for {:.3g} s\n", problems.size(), facts.model,
             facts.backend == "cpu" ? fmt::format("{} threads", context.threads()) : facts.id, options.budget_s);
  if (earlier_s > 0)
    fmt::print(stderr, "going on with {} samples of {:.0f} s from {}\n", sampled.rows.size(), earlier_s,
               checkpoint->path().native());

  const UntilInterrupt until;
  Progress progress("measuring");
  while (!interrupted) {
    const double at = earlier_s + since_begin();
    const auto turn = allocation.next(options.budget_s - at);
    if (!turn) break;
    const tune::Series& series = allocation.series()[turn->series];
    progress.update(std::min(1.0, at / options.budget_s), fmt::format("{} {}", series.label, series.cache));
    METALLIC_TRY(std::vector<SampleRow> rows, sampler.time_block(turn->series, turn->live));
    for (SampleRow& row : rows) row.at_s = at;
    allocation.add(turn->series, times_of(series, rows), earlier_s + since_begin() - at);
    if (checkpoint) METALLIC_CHECK(checkpoint->append(rows));
    sampled.rows.insert(sampled.rows.end(), rows.begin(), rows.end());
  }
  const double took_s = earlier_s + since_begin();
  if (constexpr double kWorthALine = 1.2; took_s > kWorthALine * options.budget_s + 1)
    fmt::print(stderr, "took {:.0f} s, not {:.3g}: two blocks of each problem are the least\n", took_s, options.budget_s);
  for (const SampledUnit& unit : sampler.units())
    for (const TimedCandidate& arm : unit.arms)
      if (!arm.wrong.empty()) fmt::print(stderr, "passed over: {}\n", arm.wrong);
  for (size_t unit = 0; options.floors && unit < sampler.units().size(); ++unit) {
    METALLIC_TRY(const auto floor, sampler.floor(unit));
    const SampledUnit& of = sampler.units()[unit];
    if (floor)
      sampled.floors[{label(of.problem), std::string(name(of.problem.dtype)), std::string(name(of.cache))}] = *floor * 1e9;
  }
  sampled.noise = sampler.noise();
  sampled.seconds = earlier_s + since_begin();
  sampled.expected_residual = allocation.expected_residual();
  sampled.interrupted = interrupted;
  return sampled;
}

}  // namespace metallic::cli
