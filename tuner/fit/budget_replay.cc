// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/budget_replay.h"

#include <algorithm>

#include "tuner/fit/allocation.h"

namespace metallic::tune {
namespace {

struct BlockStart {
  double at_s;
  size_t series;
  size_t block;
};

// All blocks in the order of timing; none if a series lacks its times.
std::vector<BlockStart> in_order(const std::vector<Series>& series) {
  std::vector<BlockStart> all;
  for (size_t i = 0; i < series.size(); ++i) {
    if (series[i].at_s.size() != series[i].blocks()) return {};
    for (size_t block = 0; block < series[i].blocks(); ++block) all.push_back({series[i].at_s[block], i, block});
  }
  std::ranges::stable_sort(all, {}, &BlockStart::at_s);
  return all;
}

}  // namespace

BudgetReplay replay_budget(const Measurements& measurements, size_t moments) {
  const auto& series = measurements.series;
  const std::vector<BlockStart> blocks = in_order(series);
  if (blocks.empty() || blocks.back().at_s <= 0) return {};
  std::vector<Series> untimed = series;
  for (Series& one : untimed)
    for (CandidateTimes& candidate : one.candidates) candidate.time.clear();
  Allocation allocation(std::move(untimed), std::vector<double>(series.size(), 0), {});
  BudgetReplay replay{.moments = {}, .series = std::vector<BudgetReplay::SeriesResidual>(series.size())};
  const double end = blocks.back().at_s;
  std::vector<double> times;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto& [at_s, index, block] = blocks[i];
    times.clear();
    for (const CandidateTimes& candidate : series[index].candidates) times.push_back(candidate.time[block]);
    allocation.add(index, times, 0);
    if (allocation.series()[index].blocks() <= 2) replay.series[index].screened = allocation.expected_residual(index);
    const auto time_of = [&](size_t moment) { return static_cast<double>(moment) * end / static_cast<double>(moments); };
    while (replay.moments.size() < moments && (i + 1 == blocks.size() || blocks[i + 1].at_s > time_of(replay.moments.size() + 1)))
      replay.moments.push_back({time_of(replay.moments.size() + 1), i + 1, allocation.expected_residual()});
  }
  for (size_t i = 0; i < series.size(); ++i) replay.series[i].last = allocation.expected_residual(i);
  return replay;
}

}  // namespace metallic::tune
