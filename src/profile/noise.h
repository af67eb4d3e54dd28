// Noise: how calm a machine was while it was measured, and what its measurements may be used for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/status.h"

namespace metallic {

/// What a GPU's clock did while it worked.
struct GpuNoise {
  int64_t least_mhz = 0, median_mhz = 0, most_mhz = 0;  ///< of the readings
  int64_t most_celsius = 0;                             ///< 0: not known
  double power_cap_share = 0;                           ///< of the readings, held down by the power cap
  double heat_share = 0;                                ///< of the readings, by heat
  double hardware_share = 0;                            ///< of the readings, by hardware: a power brake, a fault
  bool operator==(const GpuNoise&) const = default;
};

/// What an anchor, a fixed piece of work timed before blocks, and the system's own counters say about a run. Times are compared
/// to the calm level around them: what the anchor takes when nothing is in its way. On a GPU the anchor is a number of cycles,
/// read off the clock.
struct NoiseRecord {
  int64_t readings = 0;        ///< of the anchor
  double disturbed_share = 0;  ///< of the readings, above 1.15 times the calm level
  double lost_share = 0;       ///< of the readings, above twice the calm level: the CPU was taken away
  double waited_s = 0;         ///< spent on waiting for calm
  double drift = 0;            ///< of the calm level: ln of later over earlier, between those thirds of the run that differ most
  double autocorrelation = 0;  ///< of successive readings' ranks, in [-1, 1]
  double spread = 0;           ///< ln of the readings' 90th over their 10th percentile
  int64_t cpus = 1;            ///< that this process may use; what the following are shares of
  std::optional<double> steal_share = std::nullopt;   ///< of the CPUs' time, taken by the hypervisor; absent where no one counts
  std::optional<double> others_share = std::nullopt;  ///< of the CPUs' time, used by other programs and the system
  std::optional<GpuNoise> gpu = std::nullopt;         ///< absent on a CPU, and where no one can read the clock
  bool operator==(const NoiseRecord&) const = default;
};

enum class Trust : unsigned char {
  calm,       ///< measurements are what they seem
  disturbed,  ///< usable with wider intervals
  busy,       ///< not to be installed
};
std::string_view name(Trust trust);

struct Judgement {
  Trust trust = Trust::calm;
  std::string why;      ///< one line for people: what was seen, and what to do about it; empty where calm
  double widening = 1;  ///< factor ≥ 1 on the intervals of means over blocks
  double shift = 0;     ///< ≥ 0, to add to the half-widths of ratios' logarithms
};
Judgement judge(const NoiseRecord& noise);

/// The record as a JSON object and back. Errors: a field out of its bounds.
Json noise_json(const NoiseRecord& noise);
Result<NoiseRecord> parse_noise(const JsonObject& object);

}  // namespace metallic
