// SPDX-License-Identifier: Apache-2.0
// Noise monitor: times a reference workload before blocks, waits while the machine is disturbed, and records a run's noise.
#pragma once

#include <vector>

#include "base/executor.h"
#include "device/cpu/cgroup.h"
#include "profile/noise.h"
#include "tuner/bench/cpu_time.h"
#include "tuner/bench/reference_workload.h"

namespace metallic {

/// The readings of the reference workload, in seconds, and what follows from them. It takes no time itself, so tests can feed it.
class NoiseReadings {
 public:
  /// Adds the first reading before a block. Readings while waiting do not count: waiting must not hide how noisy the machine is.
  /// Ignores values that are not positive numbers.
  void take(double reading_s);

  /// Whether a reading is above 1.15 times the undisturbed time, estimated from the latest readings.
  bool is_disturbed(double reading_s) const;

  /// Whether to read before this block: only while readings took at most a twentieth of the time since the run began. A reading
  /// takes 0.1 ms, but several time slices if programs compete for each core.
  static bool affords_reading(double elapsed_s, double reading_s);

  /// How long to sleep before the next reading; 0: do not wait. 1 ms, doubled with each `attempt` (from 0) up to 64 ms, while
  /// waiting takes at most a tenth of the time since the run began. A machine that is always disturbed spreads the waiting over
  /// the whole run.
  static double pause_s(int attempt, double elapsed_s, double waited_s);

  /// The noise of the run, except `waited_s` and the shares of CPU time.
  NoiseRecord record() const;

 private:
  std::vector<double> readings_;
};

/// Monitors a run: times the reference workload on the run's executor before each block.
class NoiseMonitor {
 public:
  explicit NoiseMonitor(Executor& executor);

  /// Call before each block, when no library's threads spin. Takes 0.1 ms if the machine is quiet. In all, at most a twentieth of
  /// the time since construction goes to readings and a tenth to waiting. Returns the seconds spent.
  double before_block();

  NoiseRecord record() const;

 private:
  ReferenceWorkload reference_;
  NoiseReadings readings_;
  double begin_s_;
  std::optional<CpuTime> cpu_at_begin_;
  std::optional<cpu::CpuThrottling> throttling_at_begin_;
  double reading_s_ = 0;
  double waited_s_ = 0;
};

}  // namespace metallic
