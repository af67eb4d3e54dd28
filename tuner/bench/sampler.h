// SPDX-License-Identifier: Apache-2.0
// Sampler: times blocks of candidates; the caller decides what to time next, and the dispatcher is not involved.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/status.h"
#include "device/info.h"
#include "ops/planner.h"
#include "tuner/bench/harness.h"
#include "tuner/io/records.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic {

struct SamplerOptions {
  uint64_t seed = 1;
  double min_sample_s = 0;    ///< shortest sample in seconds; 0: as the clock needs, see clock.h
  std::vector<Cache> caches;  ///< the cache states to time in; empty: usual_caches of each operation
  std::function<bool(const Variant&)> wanted = [](const Variant& variant) { return variant.family != "reference"; };
};

/// A candidate of a unit, ready to run.
struct TimedCandidate {
  const Variant* variant;
  Tuning tuning;
  std::unique_ptr<const Kernel> kernel;
  double seconds = 0;    ///< of one call, the least so far
  std::string excluded;  ///< why it is not timed any more: a library's wrong result; empty: it is
};

/// One problem in one cache state. The problem's weight is split evenly over its cache states.
struct SampledUnit {
  Problem problem;
  Cache cache;
  double weight;
  std::vector<TimedCandidate> candidates;
  int64_t blocks = 0;
};

class Sampler {
 public:
  /// Prepares all candidates of all problems and their operands. Executor and planner must outlive the sampler. Errors:
  /// unsupported if no candidate accepts any of the problems; out_of_memory.
  static Result<Sampler> create(std::span<const WeightedProblem> problems, const DeviceInfo& device, Executor& executor,
                                Planner& planner, const SamplerOptions& options);

  const std::vector<SampledUnit>& units() const { return units_; }

  /// Sets how many blocks a unit has from an earlier run; block numbers continue from there.
  void resume(size_t unit, int64_t blocks) { units_[unit].blocks = blocks; }

  /// Times one block: the live candidates in random order, all at the same addresses, which differ from block to block. The first
  /// call for a unit checks each candidate's result against the oracle. A wrong result of a library excludes that candidate; one
  /// of ours is an error. Waits a little if the machine is disturbed, see noise_monitor.h. If libraries are candidates, waits up
  /// to 0.3 s for the threads of the previous one to sleep.
  Result<std::vector<SampleRow>> time_block(size_t unit, const std::vector<bool>& live);

  /// Seconds of moving the bytes of a unit's problem, see Harness.
  Result<std::optional<double>> roofline_s(size_t unit) { return harness_->roofline_s(units_[unit].problem, units_[unit].cache); }

  NoiseRecord noise() const { return harness_->noise(); }

 private:
  Sampler(const DeviceInfo& device, Executor& executor, const SamplerOptions& options);
  Status add_units(const WeightedProblem& problem, Planner& planner, const SamplerOptions& options);
  Status check(SampledUnit& unit);
  void quiesce_for(const Variant& next);
  SampleRow row_of(const SampledUnit& unit, const TimedCandidate& candidate) const;

  DeviceInfo device_;
  Executor& executor_;
  uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<SampledUnit> units_;
  std::vector<bool> checked_;
  std::unique_ptr<Harness> harness_;
  std::string_view last_library_;  // the library whose threads ran last; empty: ours
};

}  // namespace metallic
