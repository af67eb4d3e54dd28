#include "tuner/fit/budget_replay.h"

#include <algorithm>

#include "tuner/fit/allocation.h"

namespace metallic::tune {
namespace {

struct Begun {
  double at_s;
  size_t series;
  size_t block;
};

// All blocks in the order in which they were timed; none where a series does not tell.
std::vector<Begun> in_order(const std::vector<Series>& series) {
  std::vector<Begun> all;
  for (size_t i = 0; i < series.size(); ++i) {
    if (series[i].at_s.size() != series[i].blocks()) return {};
    for (size_t block = 0; block < series[i].blocks(); ++block) all.push_back({series[i].at_s[block], i, block});
  }
  std::ranges::stable_sort(all, {}, &Begun::at_s);
  return all;
}

}  // namespace

Course course(const Measurements& measurements, size_t moments) {
  const auto& series = measurements.series;
  const std::vector<Begun> blocks = in_order(series);
  if (blocks.empty() || blocks.back().at_s <= 0) return {};
  std::vector<Series> untimed = series;
  for (Series& one : untimed)
    for (Arm& arm : one.arms) arm.time.clear();
  Allocation allocation(std::move(untimed), std::vector<double>(series.size(), 0), {});
  Course found{.moments = {}, .parts = std::vector<Course::Part>(series.size())};
  const double end = blocks.back().at_s;
  std::vector<double> times;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto& [at_s, index, block] = blocks[i];
    times.clear();
    for (const Arm& arm : series[index].arms) times.push_back(arm.time[block]);
    allocation.add(index, times, 0);
    if (allocation.series()[index].blocks() <= 2) found.parts[index].screened = allocation.expected_residual(index);
    const auto passed = [&](size_t moment) { return static_cast<double>(moment) * end / static_cast<double>(moments); };
    while (found.moments.size() < moments && (i + 1 == blocks.size() || blocks[i + 1].at_s > passed(found.moments.size() + 1)))
      found.moments.push_back({passed(found.moments.size() + 1), i + 1, allocation.expected_residual()});
  }
  for (size_t i = 0; i < series.size(); ++i) found.parts[i].last = allocation.expected_residual(i);
  return found;
}

}  // namespace metallic::tune
