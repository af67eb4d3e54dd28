// The sampler: times blocks of candidates on request. It never sees the dispatcher, so that no choice can bias a measurement, and
// what to time next is its caller's affair.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/info.h"
#include "base/executor.h"
#include "ops/planner.h"
#include "base/status.h"
#include "tuner/io/records.h"
#include "tuner/bench/harness.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic {

struct SamplerOptions {
  uint64_t seed = 1;
  double min_sample_s = 0;  ///< how long an arm runs at least; 0: what the clock needs, see clock.h
  /// By operation: softmax both ways; the weights of a matmul cold, K and V of an sdpa too, as decoding reads them.
  std::array<std::vector<Cache>, kOps.size()> caches = {{{Cache::warm, Cache::cold}, {Cache::cold}, {Cache::cold}}};
  std::function<bool(const Variant&)> wanted = [](const Variant& variant) { return variant.family != "reference"; };
};

/// A candidate of a unit, ready to run.
struct TimedCandidate {
  const Variant* variant;
  Tuning tuning;
  std::unique_ptr<const Kernel> kernel;
  double seconds = 0;  ///< of one call, the least seen
  std::string wrong;   ///< why it is timed no more: of a library, whose mistakes are no reason not to measure the others
};

/// One problem in one cache state. Its weight is the problem's, split evenly over its cache states.
struct SampledUnit {
  Problem problem;
  Cache cache;
  double weight;
  std::vector<TimedCandidate> arms;
  int64_t blocks = 0;
};

class Sampler {
 public:
  /// Prepares every candidate of every problem, and operands for all; cold ones rotate through what was measured to exceed the
  /// last-level cache. Executor and planner must outlive the sampler.
  /// Errors: no candidate accepts any of the problems; a problem beyond this machine's memory.
  static Result<Sampler> create(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                Planner& planner, const SamplerOptions& options);

  const std::vector<SampledUnit>& units() const { return units_; }

  /// Blocks that a unit has from an earlier run; numbers go on from there.
  void resume(size_t unit, int64_t blocks) { units_[unit].blocks = blocks; }

  /// One block: the live candidates in random order, each at the same place in memory, 64-byte aligned or, one time in four,
  /// 16-byte aligned as malloc's is. At a unit's first call each candidate's result is checked against the oracle. Where the
  /// machine is disturbed it waits a little, see calm.h. Where libraries are candidates, an arm waits until the threads of the
  /// one before sleep, 0.3 s at most. A library's candidate with a
  /// wrong result is timed no more; one of ours is an error.
  Result<std::vector<SampleRow>> time_block(size_t unit, const std::vector<bool>& live);

  /// Seconds of moving what a unit's problem must, see Harness.
  Result<std::optional<double>> floor(size_t unit) { return harness_->floor(units_[unit].problem, units_[unit].cache); }

  NoiseRecord noise() const { return harness_->noise(); }

 private:
  Sampler(const DeviceFacts& facts, Executor& executor, const SamplerOptions& options);
  Status add_units(const WeightedProblem& problem, Planner& planner, const SamplerOptions& options);
  Status check(SampledUnit& unit);
  void take_turn(const Variant& next);
  SampleRow row_of(const SampledUnit& unit, const TimedCandidate& arm) const;

  DeviceFacts facts_;
  Executor& executor_;
  uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<SampledUnit> units_;
  std::vector<bool> checked_;
  std::unique_ptr<Harness> harness_;
  std::string_view last_library_;  // whose threads ran last; empty: ours
};

}  // namespace metallic
