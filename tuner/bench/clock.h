// SPDX-License-Identifier: Apache-2.0
// The clock: its resolution and cost, and how long a sample must be so that neither matters.
#pragma once

namespace metallic {

/// Seconds of std::chrono::steady_clock since its epoch.
double now_s();

struct ClockInfo {
  double resolution_s = 0;  ///< smallest difference between two readings that differ; if ticks are fine, the cost of a reading
  double call_s = 0;        ///< cost of one reading, the median of several batches
};

/// Measures std::chrono::steady_clock. Takes about 0.1 ms; with coarse ticks, a few ticks, 50 ms at most.
ClockInfo measure_clock();

/// The shortest sample, in seconds, that the clock measures to within 0.1 %: an interval is off by at most one tick and contains
/// the cost of one reading. At least 0.1 ms, which also makes an interrupt of a few µs small.
double min_sample_seconds(const ClockInfo& clock);

}  // namespace metallic
