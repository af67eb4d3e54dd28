// SPDX-License-Identifier: Apache-2.0
// CPU time: which share of this process's CPUs other programs and the hypervisor used, by the system's counters.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace metallic {

/// One reading of the counters, in seconds summed over the CPUs that this process may use.
struct CpuTime {
  double wall_s = 0;   ///< steady clock
  double total_s = 0;  ///< all states, idle included
  double busy_s = 0;   ///< all programs and the kernel
  double steal_s = 0;  ///< taken by the hypervisor for other machines
  double own_s = 0;    ///< the part of `busy_s` that this process used
  int cpus = 0;
};

/// The counters now; nothing if the system does not provide them.
std::optional<CpuTime> cpu_time();

/// Parses /proc/stat: total, busy and steal seconds of the given CPUs; nothing if one of them is missing.
std::optional<CpuTime> parse_cpu_time(std::string_view proc_stat, std::span<const int> cpus, double ticks_per_s);

/// Use of the CPUs between two readings, as shares of their time in [0, 1].
struct CpuShares {
  double steal = 0;
  double others = 0;
};

/// Nothing if the counters are not usable: less than a quarter of a second passed (a tick is 10 ms), or their sum does not match
/// wall time, as in some containers and sandboxes.
std::optional<CpuShares> shares_between(const CpuTime& begin, const CpuTime& end);

}  // namespace metallic
