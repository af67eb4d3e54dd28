// Splitting a range of units among tasks, each task a contiguous share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/device.h"

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

/// How many tasks are worth starting: one per thread, but none with less than three times what starting and joining all threads
/// takes, nor more than units. `work` over `per_ns` is what one thread takes: two save at least a third of that, and are not slower
/// while joins take three times as long as they were measured to, which a busy virtual machine does to them.
constexpr int64_t task_count(int threads, int64_t units, double work, double per_ns, const DeviceFacts& facts) {
  const double grain = 3 * std::max(facts.join_ns, 100.0) * per_ns;
  const auto worthwhile = static_cast<int64_t>(std::min(work / grain, 1e6));
  return std::clamp<int64_t>(std::min<int64_t>({threads, units, worthwhile}), 1, std::max<int64_t>(1, units));
}

}  // namespace metallic
