// SPDX-License-Identifier: Apache-2.0
#include "tuner/regression/recorded_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "base/math.h"
#include "ops/label.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr size_t kMostBenchmarks = 10'000;
constexpr size_t kMostBlocks = 1024;  // the estimate takes time and memory quadratic in it

// Names are printed into tables and XML.
bool is_name(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("_=;.-").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

Status check(const GateBenchmark& benchmark, std::string_view where, size_t line) {
  if (const auto problem = parse_label(benchmark.label); !problem)
    return fail(Code::invalid_argument, "{} line {}: {}", where, line, problem.error().message);
  if (!parse_dtype(benchmark.dtype))
    return fail(Code::invalid_argument, "{} line {} column dtype: {}: use {}", where, line, in_quotes(benchmark.dtype),
                kDTypeNames);
  for (const std::string* text : {&benchmark.variant, &benchmark.tuning, &benchmark.cache})
    if (!is_name(*text))
      return fail(Code::invalid_argument, "{} line {}: {} is no name: letters, digits and _ = ; . - make one", where, line,
                  in_quotes(*text));
  return {};
}

std::vector<double> folded(std::span<const double> values) {
  const size_t together = ceil_div(values.size(), kMostBlocks);
  if (together <= 1) return {values.begin(), values.end()};
  std::vector<double> medians;
  for (; values.size() >= together; values = values.subspan(together))  // a smaller last group is left out
    medians.push_back(median({values.begin(), values.begin() + static_cast<std::ptrdiff_t>(together)}));
  return medians;
}

}  // namespace

std::string to_string(const GateBenchmark& benchmark) {
  return fmt::format("{} {} {} {}{}{}", benchmark.label, benchmark.dtype, benchmark.cache, benchmark.variant,
                     benchmark.tuning.empty() ? "" : "@", benchmark.tuning);
}

Result<Recording> read_recording(std::string_view text, std::string_view where) {
  Recording recording;
  auto* last = static_cast<decltype(recording.times)::pointer>(nullptr);  // consecutive rows are often of one benchmark
  METALLIC_CHECK(visit_samples(text, where, [&](const SampleRow& row, size_t line) -> Status {
    if (!(row.time_ns > 0))
      return fail(Code::invalid_argument, "{} line {}: the time is {}: it must be above 0", where, line, row.time_ns);
    if (recording.device == "unknown") recording.device = row.device;
    if (row.device != "unknown" && row.device != recording.device)
      return fail(Code::invalid_argument, "{} line {}: device {} after rows of {}: gate one device at a time", where, line,
                  in_quotes(row.device), in_quotes(recording.device));
    if (recording.build == "unknown") recording.build = row.build;
    GateBenchmark benchmark{row.parameters, row.dtype, row.cache, row.variant, row.tuning, row.threads};
    if (!last || last->first != benchmark) {
      const auto found = recording.times.find(benchmark);
      if (found == recording.times.end()) {
        METALLIC_CHECK(check(benchmark, where, line));
        if (recording.times.size() == kMostBenchmarks)
          return fail(Code::invalid_argument, "{} line {}: more than {} benchmarks: gate a part of them", where, line,
                      kMostBenchmarks);
        last = &*recording.times.try_emplace(std::move(benchmark)).first;
      } else {
        last = &*found;
      }
    }
    last->second.emplace_back(row.block, row.time_ns);
    return {};
  }));
  for (auto& [benchmark, times] : recording.times) {
    std::ranges::sort(times);
    const auto twice = std::ranges::adjacent_find(times, std::equal_to(), &std::pair<int64_t, double>::first);
    if (twice != times.end())
      return fail(Code::invalid_argument, "{}: block {} has {} twice", where, twice->first, to_string(benchmark));
  }
  return recording;
}

Result<Pairing> pair_recordings(const Recording& base, const Recording& head) {
  const bool known = base.device != "unknown" && head.device != "unknown";
  if (known && base.device != head.device)
    return fail(Code::invalid_argument, "base is of device {}, head of {}: times of two devices say nothing about two builds",
                in_quotes(base.device), in_quotes(head.device));
  Pairing pairing;
  if (!known) pairing.notes.push_back("a file does not name its device: whether both are of one is not known");
  for (const auto& [benchmark, times] : base.times) {
    const auto partner = head.times.find(benchmark);
    if (partner == head.times.end()) {
      pairing.notes.push_back(fmt::format("only in base: {}", to_string(benchmark)));
      continue;
    }
    const size_t pairs = std::min(times.size(), partner->second.size());
    std::vector<double> differences(pairs);
    for (size_t i = 0; i < pairs; ++i) differences[i] = std::log(partner->second[i].second / times[i].second);
    if (times.size() != partner->second.size())
      pairing.notes.push_back(fmt::format("{}: {} blocks in base, {} in head: the last {} have no partner", to_string(benchmark),
                                          times.size(), partner->second.size(),
                                          std::max(times.size(), partner->second.size()) - pairs));
    pairing.benchmarks.push_back(benchmark);
    pairing.differences.push_back(folded(differences));
  }
  for (const auto& [benchmark, times] : head.times)
    if (!base.times.contains(benchmark)) pairing.notes.push_back(fmt::format("only in head: {}", to_string(benchmark)));
  return pairing;
}

}  // namespace metallic::tune
