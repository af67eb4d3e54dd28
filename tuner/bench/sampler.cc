// SPDX-License-Identifier: Apache-2.0
// Prepares the candidates of each problem, and times them in random blocks on the device's harness.
#include "tuner/bench/sampler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/build.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "ops/variant.h"
#include "tuner/bench/idle.h"

namespace metallic {

Sampler::Sampler(const DeviceInfo& device, Executor& executor, const SamplerOptions& options)
    : device_(device), executor_(executor), seed_(options.seed), random_(options.seed) {}

Result<Sampler> Sampler::create(std::span<const WeightedProblem> problems, const DeviceInfo& device, Executor& executor,
                                Planner& planner, const SamplerOptions& options) {
  Sampler sampler(device, executor, options);
  for (const WeightedProblem& problem : problems) METALLIC_CHECK(sampler.add_units(problem, planner, options));
  if (sampler.units_.empty()) return fail(Code::unsupported, "no candidate accepts any of the problems");
  sampler.checked_.resize(sampler.units_.size());

  std::vector<OperandUse> uses;
  for (const SampledUnit& unit : sampler.units_) {
    size_t workspace = 0;
    for (const TimedCandidate& candidate : unit.candidates) workspace = std::max(workspace, candidate.kernel->workspace());
    uses.push_back({unit.problem, unit.cache, workspace});
  }
  METALLIC_TRY(sampler.harness_,
               make_harness(uses, device, executor, {.seed = options.seed, .min_sample_s = options.min_sample_s}));
  return sampler;
}

Status Sampler::add_units(const WeightedProblem& source, Planner& planner, const SamplerOptions& options) {
  Problem problem = source.problem;
  problem.threads = executor_.threads();
  double needed = 0;
  for (const int64_t operand : operand_bytes(problem)) needed += static_cast<double>(operand);
  if (device_.memory_bytes > 0 && needed > 0.7 * static_cast<double>(device_.memory_bytes))
    return fail(Code::out_of_memory, "{} needs {:.1f} GiB of operands and this machine has {:.1f} GiB: use a smaller shape",
                label(problem), needed / (1 << 30), static_cast<double>(device_.memory_bytes) / (1 << 30));
  const std::vector<Cache> caches = options.caches.empty() ? usual_caches(problem.op()) : options.caches;
  for (const Cache cache : caches) {
    SampledUnit unit{
        .problem = problem, .cache = cache, .weight = source.weight / static_cast<double>(caches.size()), .candidates = {}};
    for (const Variant& variant : variants(problem.op()))
      for (const Tuning& tuning : variant.tunings) {
        if (variant.backend() != device_.backend || !options.wanted(variant) || variant.rejects(problem, tuning, device_))
          continue;
        METALLIC_TRY(auto kernel, variant.prepare(problem, tuning, device_, planner));
        unit.candidates.push_back({.variant = &variant, .tuning = tuning, .kernel = std::move(kernel)});
      }
    if (!unit.candidates.empty()) units_.push_back(std::move(unit));
  }
  return {};
}

// Threads of a library spin for more work after a call (OpenBLAS for 100 ms, oneDNN for 12 ms). A candidate on other threads
// waits until these sleep. Ours are told to rest. Libraries keep their settings: without spinning, oneDNN is 15 times slower on
// small shapes.
void Sampler::quiesce_for(const Variant& next) {
  if (next.library() == last_library_ || device_.backend != "cpu") return;
  executor_.rest();
  wait_until_idle();
  last_library_ = next.library();
}

// Checks one call of each candidate; its time is the first estimate.
Status Sampler::check(SampledUnit& unit) {
  for (TimedCandidate& candidate : unit.candidates) {
    quiesce_for(*candidate.variant);
    const auto seconds =
        harness_->checked_call(unit.problem, unit.cache, *candidate.kernel, to_string(*candidate.variant, candidate.tuning));
    if (!seconds && candidate.variant->library().empty()) return tl::unexpected(seconds.error());
    if (seconds)
      candidate.seconds = *seconds;
    else
      candidate.excluded = seconds.error().message;
  }
  return {};
}

SampleRow Sampler::row_of(const SampledUnit& unit, const TimedCandidate& candidate) const {
  SampleRow row;
  row.benchmark = fmt::format("{}_{}", name(unit.problem.op()), name(unit.problem.dtype));
  row.variant = std::string(candidate.variant->name);
  row.parameters = label(unit.problem);
  row.dtype = std::string(name(unit.problem.dtype));
  row.tuning = to_string(candidate.tuning);
  row.target = device_.isa();
  row.threads = unit.problem.threads;
  row.cache = std::string(name(unit.cache));
  row.device = fingerprint(device_);
  row.build = std::string(build_name());
  row.op = std::string(name(unit.problem.op()));
  row.seed = static_cast<int64_t>(seed_);
  row.weight = unit.weight;
  return row;
}

Result<std::vector<SampleRow>> Sampler::time_block(size_t index, const std::vector<bool>& live) {
  SampledUnit& unit = units_[index];
  if (!checked_[index]) {
    METALLIC_CHECK(check(unit));
    checked_[index] = true;
  }
  std::vector<TimedCandidate*> order;
  for (size_t i = 0; i < unit.candidates.size(); ++i)
    if (live[i] && unit.candidates[i].excluded.empty()) order.push_back(&unit.candidates[i]);
  std::ranges::shuffle(order, random_);
  harness_->align(random_());
  if (last_library_.empty()) harness_->before_block();
  std::vector<SampleRow> rows;
  for (TimedCandidate* candidate : order) {
    quiesce_for(*candidate->variant);
    METALLIC_TRY(const auto timed, harness_->time(unit.problem, unit.cache, *candidate->kernel, candidate->seconds));
    const auto [seconds, iterations] = timed;
    candidate->seconds = std::max(std::min(candidate->seconds, seconds), 1e-9);
    SampleRow row = row_of(unit, *candidate);
    row.block = unit.blocks;
    row.order = static_cast<int64_t>(rows.size());
    row.iterations = iterations;
    row.time_ns = std::max(seconds * 1e9, 1e-3);
    rows.push_back(std::move(row));
  }
  ++unit.blocks;
  return rows;
}

}  // namespace metallic
