// Calm: judges each reading of an anchor by those around it, decides when to wait, and keeps the record of a run's noise.
#pragma once

#include <vector>

#include "base/executor.h"
#include "profile/noise.h"
#include "tuner/bench/reference_workload.h"
#include "tuner/bench/cpu_time.h"

namespace metallic {

/// The pure part: readings go in, in seconds; what is not a positive number is passed over.
class NoiseReadings {
 public:
  /// The first reading before a block: these alone count, so that waiting for calm does not hide how the machine is.
  void take(double reading_s);

  /// Whether a reading is disturbed: above 1.15 times the calm level of the last readings taken.
  bool is_disturbed(double reading_s) const;

  /// Whether to read before this block: as long as readings took at most a twentieth of the time since the run began. They need
  /// 0.1 ms, but some time slices where programs fight for each core.
  static bool affords_reading(double elapsed_s, double reading_s);

  /// How long to sleep before reading again, 0 for going on: 1 ms, doubled up to 64 ms each `attempt` (from 0), as long as
  /// waiting takes no more than a tenth of the time since the run began. That spends nothing on a short run and, on a machine
  /// that is never calm, spreads the waiting over all of it.
  static double pause_s(int attempt, double elapsed_s, double waited_s);

  /// What the readings say: all but `waited_s` and the system's shares.
  NoiseRecord record() const;

 private:
  std::vector<double> readings_;
};

/// Watches a run: reads the anchor on the run's executor before each block and waits where that helps.
class NoiseMonitor {
 public:
  explicit NoiseMonitor(Executor& executor);

  /// Call before each block, when no library's threads spin. Takes 0.1 ms where the machine is calm; in all, at most a twentieth
  /// of the time since the watch began for readings and a tenth for waiting. Returns the seconds spent here, for whoever plans a
  /// budget.
  double before_block();

  NoiseRecord record() const;

 private:
  ReferenceWorkload reference_;
  NoiseReadings calm_;
  double begin_s_;
  std::optional<CpuTime> cpu_at_begin_;
  double reading_s_ = 0;
  double waited_s_ = 0;
};

}  // namespace metallic
