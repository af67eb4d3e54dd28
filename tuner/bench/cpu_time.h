// CPU time: who used the CPUs that this process may run on, as the system counts it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace metallic {

/// A look at the counters, in seconds summed over this process's CPUs.
struct CpuTime {
  double wall_s = 0;   ///< of a steady clock
  double total_s = 0;  ///< all states, idle included
  double busy_s = 0;   ///< any program or the system itself
  double steal_s = 0;  ///< a hypervisor gave the CPU to another machine
  double own_s = 0;    ///< of `busy_s`, this process
  int cpus = 0;
};

/// The counters now; none where the system does not show them.
std::optional<CpuTime> cpu_time();

/// From the text of /proc/stat: total, busy and steal seconds of the CPUs named; none where one of them is missing.
std::optional<CpuTime> parse_cpu_time(std::string_view proc_stat, std::span<const int> cpus, double ticks_per_s);

/// What happened between two looks, as shares of the CPUs' time in [0, 1].
struct CpuShares {
  double steal = 0;
  double others = 0;
};

/// None where the counters do not tell: less than a quarter of a second (a tick is 10 ms), or time that does not add up to the
/// wall's, as some containers and sandboxes show it.
std::optional<CpuShares> shares_between(const CpuTime& begin, const CpuTime& end);

}  // namespace metallic
