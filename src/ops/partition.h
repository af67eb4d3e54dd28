// Splitting a range of units among tasks, each task a contiguous share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "device/info.h"

namespace metallic {

struct Share {
  int64_t begin;
  int64_t end;
};

/// The share of task `index` of `tasks`; sizes differ by one at most.
constexpr Share share(int64_t units, int64_t tasks, int64_t index) {
  const int64_t base = units / tasks, rest = units % tasks;
  const int64_t begin = index * base + std::min(index, rest);
  return {begin, begin + base + (index < rest ? 1 : 0)};
}

/// Where each share begins, and the end of the last: `tasks` contiguous shares of about equal work. `before(unit)` is the work of
/// all units before that one.
template <typename Before>
std::vector<int64_t> shares_by_work(int64_t units, int64_t tasks, const Before& before) {
  std::vector<int64_t> begins = {0};
  for (int64_t task = 1; task < tasks; ++task) {
    const double work = before(units) / static_cast<double>(tasks) * static_cast<double>(task);
    int64_t low = begins.back(), high = units;  // the first unit with so much work before it lies between
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (before(middle) < work)
        low = middle + 1;
      else
        high = middle;
    }
    begins.push_back(low);
  }
  begins.push_back(units);
  return begins;
}

/// How many tasks are worth starting: one per thread, but no more than units, and a single one where all threads together do not
/// save three times what starting and joining them takes: they are not slower then while joins take three times as long as they
/// were measured to, which a busy virtual machine does to them. `work` over `per_ns` is what one thread takes.
inline int64_t task_count(int threads, int64_t units, double work, double per_ns, const DeviceInfo& device) {
  const double saved_ns = work / per_ns * (1 - 1.0 / std::max(threads, 1));
  return saved_ns < 3 * std::max(device.cpu().join_ns, 100.0) ? 1 : std::clamp<int64_t>(units, 1, threads);
}

}  // namespace metallic
