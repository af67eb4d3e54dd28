// SPDX-License-Identifier: Apache-2.0
// Splits a range of units into contiguous ranges, one per task.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "device/info.h"

namespace metallic {

/// The units [begin, end).
struct UnitRange {
  int64_t begin;
  int64_t end;
};

/// The units of task `index` of `tasks`; the sizes of the ranges differ by at most one.
constexpr UnitRange task_range(int64_t units, int64_t tasks, int64_t index) {
  const int64_t base = units / tasks, rest = units % tasks;
  const int64_t begin = index * base + std::min(index, rest);
  return {begin, begin + base + (index < rest ? 1 : 0)};
}

/// Splits `units` into `tasks` contiguous ranges of about equal work. Returns the begin of each range, then the end of the last.
/// `work_before(unit)` is the work of all units before that one.
template <typename WorkBefore>
std::vector<int64_t> ranges_by_work(int64_t units, int64_t tasks, const WorkBefore& work_before) {
  std::vector<int64_t> begins = {0};
  for (int64_t task = 1; task < tasks; ++task) {
    const double work = work_before(units) / static_cast<double>(tasks) * static_cast<double>(task);
    int64_t low = begins.back(), high = units;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (work_before(middle) < work)
        low = middle + 1;
      else
        high = middle;
    }
    begins.push_back(low);
  }
  begins.push_back(units);
  return begins;
}

/// The number of tasks to start: one per thread, but at most one per unit. It is 1 if all threads together save less than three
/// times the cost of starting and joining them. The factor covers joins that take three times as long as measured, which happens
/// on a busy virtual machine. `work` divided by `per_ns` is the time of one thread in ns.
inline int64_t task_count(int threads, int64_t units, double work, double per_ns, const DeviceInfo& device) {
  const double saved_ns = work / per_ns * (1 - 1.0 / std::max(threads, 1));
  return saved_ns < 3 * std::max(device.cpu().join_ns, 100.0) ? 1 : std::clamp<int64_t>(units, 1, threads);
}

}  // namespace metallic
