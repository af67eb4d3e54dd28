// The clock: how finely it counts, what a look at it costs, and so how long an arm must run for neither to matter.
#pragma once

namespace metallic {

/// Seconds of std::chrono::steady_clock since some moment.
double now_s();

struct ClockInfo {
  double resolution_s =
      0;              ///< the smallest difference between two readings that differ; where ticks are fine, the cost of a reading
  double call_s = 0;  ///< one reading, the median of several batches
};

/// Measures std::chrono::steady_clock, in about 0.1 ms; where it ticks coarsely, in as long as a few ticks take, 50 ms at most.
ClockInfo measure_clock();

/// The least seconds for which an arm must run so that the clock errs by less than 0.1 %: each end of an interval is off by at
/// most one tick one way, and one reading's cost lies inside. At least 0.1 ms, so that an interrupt of a few µs is small
/// in it too.
double min_sample_seconds(const ClockInfo& clock);

}  // namespace metallic
