// SPDX-License-Identifier: Apache-2.0
// Reads /proc/stat and getrusage for the CPUs that this process may use.
#include "tuner/bench/cpu_time.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tuner/bench/clock.h"

namespace metallic {
namespace {

// Columns of /proc/stat, see proc(5). The guest columns that follow are already counted in user and nice.
enum Column { kUser, kNice, kSystem, kIdle, kIowait, kIrq, kSoftirq, kSteal, kColumns };

bool parse_columns(std::string_view line, std::array<double, kColumns>& columns) {
  for (double& column : columns) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), column);
    if (error != std::errc() || !(column >= 0)) return false;
    line.remove_prefix(static_cast<size_t>(end - line.data()));
  }
  return true;
}

std::vector<int> own_cpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

double seconds_of(const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6; }

}  // namespace

std::optional<CpuTime> parse_cpu_time(std::string_view proc_stat, std::span<const int> cpus, double ticks_per_s) {
  CpuTime time;
  while (!proc_stat.empty()) {
    const std::string_view line = proc_stat.substr(0, proc_stat.find('\n'));
    proc_stat.remove_prefix(std::min(line.size() + 1, proc_stat.size()));
    int cpu = 0;
    if (!line.starts_with("cpu")) continue;
    const auto [end, error] = std::from_chars(line.data() + 3, line.data() + line.size(), cpu);
    if (error != std::errc() || std::ranges::find(cpus, cpu) == cpus.end()) continue;
    std::array<double, kColumns> ticks;
    if (!parse_columns(line.substr(static_cast<size_t>(end - line.data())), ticks)) return std::nullopt;
    for (int column = 0; column < kColumns; ++column) {
      const double seconds = ticks[static_cast<size_t>(column)] / ticks_per_s;
      time.total_s += seconds;
      if (column == kSteal)
        time.steal_s += seconds;
      else if (column != kIdle && column != kIowait)
        time.busy_s += seconds;
    }
    ++time.cpus;
  }
  if (time.cpus == 0 || time.cpus != static_cast<int>(cpus.size())) return std::nullopt;
  return time;
}

std::optional<CpuTime> cpu_time() {
  std::ifstream file("/proc/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto time = parse_cpu_time(text, own_cpus(), static_cast<double>(sysconf(_SC_CLK_TCK)));
  rusage usage;
  if (!time || getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  time->own_s = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  time->wall_s = now_s();
  return time;
}

std::optional<CpuShares> shares_between(const CpuTime& begin, const CpuTime& end) {
  const double total = end.total_s - begin.total_s, wall = end.wall_s - begin.wall_s, cpus = end.cpus;
  if (begin.cpus != end.cpus || wall < 0.25) return std::nullopt;
  // A guest on a busy host loses ticks, which does not change the shares. With over half of them lost they are not usable.
  if (total < 0.5 * wall * cpus || total > 1.2 * wall * cpus) return std::nullopt;
  const double others = (end.busy_s - begin.busy_s) - (end.own_s - begin.own_s);
  return CpuShares{.steal = std::clamp((end.steal_s - begin.steal_s) / total, 0.0, 1.0),
                   .others = std::clamp(others / total, 0.0, 1.0)};
}

}  // namespace metallic
