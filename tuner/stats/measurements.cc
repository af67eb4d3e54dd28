// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/measurements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "ops/label.h"

namespace metallic::tune {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

// Collects times by series, candidate and block. Blocks keep their order of appearance.
class Grouping {
 public:
  Grouping(std::string_view where, int unknown_threads) : where_(where), unknown_threads_(unknown_threads) {}

  // Adds the time of a row. `block` identifies the block within its series.
  Status add(const Identity& row, size_t number, std::string_view dtype_text, double weight, int64_t block, double time,
             std::optional<double> at_s = {}) {
    if (row.variant == "auto" || row.variant == "noop" || row.variant.ends_with("_reference")) return {};
    if (!(time > 0) || std::isinf(time))
      return fail(Code::invalid_argument, "{} {}: the time is {}: it must be finite and above 0", where_, place(row, number),
                  time);
    if (result_.device == "unknown") result_.device = row.device;
    if (result_.build == "unknown") result_.build = row.build;
    if (row.device != "unknown" && row.device != result_.device)
      return fail(Code::invalid_argument, "{} {} column device: {} after rows of {}: analyse one device at a time", where_,
                  place(row, number), in_quotes(row.device), in_quotes(result_.device));

    METALLIC_TRY(const size_t index, series_of(row, number, dtype_text, weight));
    auto& blocks = blocks_[index];
    const auto [at, first_of_block] = blocks.try_emplace(block, blocks.size());
    if (first_of_block && at_s) result_.series[index].at_s.push_back(*at_s);
    auto& times = times_[index][{row.variant, row.tuning}];
    if (!times.try_emplace(at->second, time).second)
      return fail(Code::invalid_argument, "{} {}: block {} of {} has {} twice", where_, place(row, number), block, row.parameters,
                  in_quotes(row.variant));
    ++result_.timed;
    return {};
  }

  Measurements finish(bool paired) {
    result_.paired = paired;
    for (size_t i = 0; i < result_.series.size(); ++i)
      for (const auto& [config, times] : times_[i]) {
        CandidateTimes candidate{config, std::vector<double>(blocks_[i].size(), kMissing)};
        for (const auto& [block, time] : times) candidate.time[block] = time;
        result_.series[i].candidates.push_back(std::move(candidate));
      }
    return std::move(result_);
  }

 private:
  static std::string place(const Identity& row, size_t number) {
    return row.line > 0 ? fmt::format("line {}", row.line) : fmt::format("row {}", number);
  }

  Result<size_t> series_of(const Identity& row, size_t number, std::string_view dtype_text, double weight) {
    const int threads = row.threads > 0 ? static_cast<int>(std::min<int64_t>(row.threads, 1024)) : unknown_threads_;
    const auto key = std::tuple(row.parameters, std::string(dtype_text), threads, row.cache);
    if (const auto found = index_.find(key); found != index_.end()) return found->second;
    auto problem = parse_label(row.parameters);
    if (!problem)
      return fail(Code::invalid_argument, "{} {} column parameters: {}", where_, place(row, number), problem.error().message);
    const auto dtype = parse_dtype(dtype_text);
    if (!dtype)
      return fail(Code::invalid_argument, "{} {} column dtype: {}: use {}", where_, place(row, number), in_quotes(dtype_text),
                  kDTypeNames);
    if (row.cache != "warm" && row.cache != "cold" && row.cache != "unknown")
      return fail(Code::invalid_argument, "{} {} column cache: {}: use warm or cold", where_, place(row, number),
                  in_quotes(row.cache));
    *problem = with_dtype(std::move(*problem), *dtype);
    problem->threads = threads;
    const size_t index = result_.series.size();
    result_.series.push_back({.problem = *problem, .label = row.parameters, .cache = row.cache, .weight = weight});
    index_[key] = index;
    blocks_.emplace_back();
    times_.emplace_back();
    return index;
  }

  std::string where_;
  int unknown_threads_;
  Measurements result_;
  std::map<std::tuple<std::string, std::string, int, std::string>, size_t> index_;
  std::vector<std::map<int64_t, size_t>> blocks_;
  std::vector<std::map<KernelConfig, std::map<size_t, double>>> times_;
};

// The dtype of a row; if it has none, the suffix of its benchmark name.
std::string_view dtype_of(const Identity& row) {
  if (row.dtype != "unknown") return row.dtype;
  const size_t at = row.benchmark.rfind('_');
  return at == std::string::npos ? std::string_view("unknown") : std::string_view(row.benchmark).substr(at + 1);
}

}  // namespace

std::string to_string(const KernelConfig& config) {
  return config.tuning.empty() ? config.variant : fmt::format("{}@{}", config.variant, config.tuning);
}

int64_t CandidateTimes::timed_blocks() const {
  return std::ranges::count_if(time, [](double t) { return !std::isnan(t); });
}

const CandidateTimes* Series::find(const KernelConfig& config) const {
  const auto at = std::ranges::find(candidates, config, &CandidateTimes::config);
  return at == candidates.end() ? nullptr : &*at;
}

Result<Measurements> from_samples(std::span<const SampleRow> rows, std::string_view where, int unknown_threads) {
  Grouping grouping(where, unknown_threads);
  for (size_t i = 0; i < rows.size(); ++i)
    METALLIC_CHECK(grouping.add(rows[i], i + 1, rows[i].dtype, rows[i].weight, rows[i].block, rows[i].time_ns, rows[i].at_s));
  return grouping.finish(/*paired=*/true);
}

Result<Measurements> from_results(std::span<const ResultRow> rows, std::string_view where, int unknown_threads) {
  Grouping grouping(where, unknown_threads);
  // Equal rows are repetitions: the first is in block 0, the second in block 1, and so on.
  std::map<std::tuple<std::string, std::string, std::string, std::string, std::string, int64_t>, int64_t> seen;
  for (size_t i = 0; i < rows.size(); ++i) {
    const ResultRow& row = rows[i];
    const int64_t block = seen[{row.benchmark, row.variant, row.tuning, row.parameters, row.cache, row.threads}]++;
    const double time = row.median_time > 0 ? row.median_time : row.mean_time;
    METALLIC_CHECK(grouping.add(row, i + 1, dtype_of(row), 1, block, time));
  }
  return grouping.finish(/*paired=*/false);
}

}  // namespace metallic::tune
