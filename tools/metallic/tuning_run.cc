// SPDX-License-Identifier: Apache-2.0
// Connects the sampler, which times, with the allocation, which decides what to time next.
#include "tools/metallic/tuning_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <limits>
#include <map>

#include "base/build.h"
#include "ops/label.h"
#include "tools/metallic/progress.h"
#include "tuner/bench/sampler.h"

namespace metallic::cli {
namespace {

std::atomic<bool> interrupted{false};

// The first Ctrl-C ends the run after the current block; the second ends the program.
class InterruptHandler {
 public:
  InterruptHandler() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptHandler() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// Seconds of a block before it was timed: a warm-up call and a sample of 0.1 ms or one call for each candidate, at 10 GB/s and
// 50 GFLOP/s.
double guess_seconds(const SampledUnit& unit) {
  const Work needed = work(unit.problem);
  const double call = std::max(needed.bytes / 1e10, needed.flops / 5e10);
  return static_cast<double>(unit.candidates.size()) * (1e-4 + 2 * call);
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
    for (const TimedCandidate& candidate : unit.candidates)
      one.candidates.push_back({{std::string(candidate.variant->name), to_string(candidate.tuning)}, {}});
    seconds.push_back(guess_seconds(unit));
  }
  return {std::move(series), std::move(seconds), options};
}

// The times of a block in the order of the arms of a series; NaN for arms that it lacks.
std::vector<double> times_of(const tune::Series& series, std::span<const SampleRow> rows) {
  std::vector<double> times(series.candidates.size(), std::numeric_limits<double>::quiet_NaN());
  for (const SampleRow& row : rows)
    for (size_t arm = 0; arm < times.size(); ++arm)
      if (series.candidates[arm].config.variant == row.variant && series.candidates[arm].config.tuning == row.tuning)
        times[arm] = row.time_ns;
  return times;
}

// The element types, in the order of the problems.
std::string type_names(std::span<const WeightedProblem> problems) {
  std::vector<std::string_view> types;
  for (const WeightedProblem& each : problems)
    if (std::ranges::find(types, name(each.problem.dtype)) == types.end()) types.push_back(name(each.problem.dtype));
  return fmt::format("{}", fmt::join(types, " and "));
}

// Passes the blocks of an earlier run to the allocation; returns the seconds that they took.
Result<double> resume(const Checkpoint& checkpoint, Sampler& sampler, tune::Allocation& allocation, const DeviceInfo& device) {
  const auto& rows = checkpoint.earlier();
  const auto other_run = [&](std::string_view what) {
    return fail(Code::invalid_argument, "{} has samples of an unfinished run of {}: finish that run, or delete the file",
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
    if (first.device != fingerprint(device)) return other_run("another device");
    if (first.build != build_name()) return other_run("another build");
    const auto unit = units.find({first.parameters, first.dtype, first.cache});
    if (unit == units.end())
      return other_run(fmt::format("other shapes, such as {}, or another --budget", in_quotes(first.parameters)));
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
  for (const Cache cache : {Cache::warm, Cache::cold})
    if (std::ranges::find(options.caches, name(cache)) != options.caches.end()) sampler_options.caches.push_back(cache);
  METALLIC_TRY(Sampler sampler, Sampler::create(problems, context.device(), context.executor(), context, sampler_options));
  allocation_options.seed = options.seed;
  tune::Allocation allocation = make_allocation(sampler, allocation_options);
  TuningRun sampled;
  double earlier_s = 0;
  if (checkpoint) {
    METALLIC_TRY(earlier_s, resume(*checkpoint, sampler, allocation, context.device()));
    sampled.rows = checkpoint->earlier();
  }
  const DeviceInfo& device = context.device();
  fmt::print(stderr, "measuring {} problems in {} on {} ({}) for {:.3g} s\n", problems.size(), type_names(problems), device.model,
             device.backend == "cpu" ? fmt::format("{} threads", context.threads()) : device.id, options.budget_s);
  if (earlier_s > 0)
    fmt::print(stderr, "resuming with {} samples of {:.0f} s from {}\n", sampled.rows.size(), earlier_s,
               checkpoint->path().native());

  const InterruptHandler handler;
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
    fmt::print(stderr, "took {:.0f} s instead of {:.3g} s: each problem needs at least two blocks\n", took_s, options.budget_s);
  for (const SampledUnit& unit : sampler.units())
    for (const TimedCandidate& candidate : unit.candidates)
      if (!candidate.excluded.empty()) fmt::print(stderr, "skipped: {}\n", candidate.excluded);
  for (size_t unit = 0; options.rooflines && unit < sampler.units().size(); ++unit) {
    METALLIC_TRY(const auto roofline, sampler.roofline_s(unit));
    const SampledUnit& of = sampler.units()[unit];
    if (roofline)
      sampled.rooflines_ns[{label(of.problem), std::string(name(of.problem.dtype)), std::string(name(of.cache))}] =
          *roofline * 1e9;
  }
  sampled.noise = sampler.noise();
  sampled.seconds = earlier_s + since_begin();
  sampled.expected_residual = allocation.expected_residual();
  sampled.interrupted = interrupted;
  return sampled;
}

}  // namespace metallic::cli
