// SPDX-License-Identifier: Apache-2.0
// Noise: how quiet a machine was during a run, and what its measurements may be used for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"

namespace metallic {

/// The clock of a GPU while it worked.
struct GpuNoise {
  int64_t least_mhz = 0, median_mhz = 0, most_mhz = 0;  ///< of the readings
  int64_t most_celsius = 0;                             ///< 0: unknown
  double power_cap_share = 0;                           ///< of the readings, limited by the power cap
  double heat_share = 0;                                ///< of the readings, by heat
  double hardware_share = 0;                            ///< of the readings, by hardware: a power brake, a fault
  bool operator==(const GpuNoise&) const = default;
};

/// The noise of a run, from readings of the reference workload before blocks and from the system's counters. A reading is
/// compared with the undisturbed time around it. On a GPU the reference workload is a fixed number of cycles, computed from the
/// clock.
struct NoiseRecord {
  int64_t readings = 0;        ///< of the reference workload
  double disturbed_share = 0;  ///< of the readings, above 1.15 times the undisturbed time
  double lost_share = 0;       ///< of the readings, above twice the undisturbed time: the thread was preempted
  double waited_s = 0;         ///< spent waiting for a quiet machine
  double drift = 0;            ///< ln of the largest ratio, later over earlier, of the undisturbed times of two thirds of the run
  double autocorrelation = 0;  ///< of successive readings' ranks, in [-1, 1]
  double spread = 0;           ///< ln of the readings' 90th over their 10th percentile
  int64_t cpus = 1;            ///< that this process may use
  std::optional<double> steal_share = std::nullopt;      ///< of these CPUs' time, taken by the hypervisor; absent if unknown
  std::optional<double> others_share = std::nullopt;     ///< of these CPUs' time, used by other programs and the system
  std::optional<double> throttled_share = std::nullopt;  ///< of the CPU quota's periods, in which it ran out; absent without one
  std::optional<double> throttled_s = std::nullopt;      ///< of CPU time, withheld in these periods
  std::optional<GpuNoise> gpu = std::nullopt;            ///< absent on a CPU, and if the clock is unreadable
  bool operator==(const NoiseRecord&) const = default;
};

enum class Trust : unsigned char {
  quiet,      ///< usable as they are; "calm" in reports
  disturbed,  ///< usable with wider intervals
  busy,       ///< not to be installed
};
std::string_view name(Trust trust);

struct Judgement {
  Trust trust = Trust::quiet;
  std::string why;      ///< one line for people: what was seen, and what to do about it; empty if quiet
  double widening = 1;  ///< factor ≥ 1 on the intervals of means over blocks
  double shift = 0;     ///< ≥ 0, to add to the half-widths of ratios' logarithms
};
Judgement judge(const NoiseRecord& noise);

/// Writes and parses the record. Errors: a field out of its bounds.
Json noise_json(const NoiseRecord& noise);
Result<NoiseRecord> parse_noise(const JsonObject& object);

}  // namespace metallic
