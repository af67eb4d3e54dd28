// SPDX-License-Identifier: Apache-2.0
#include "tuner/io/google_benchmark.h"

#include <algorithm>
#include <array>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "ops/label.h"

namespace metallic {
namespace {

constexpr size_t kMostBytes = size_t{256} << 20;

// Removes what Google Benchmark appends to a name: "/iterations:10", "/real_time", "/threads:2" and the like.
std::string_view without_suffixes(std::string_view benchmark_name) {
  constexpr std::array<std::string_view, 5> kNumbered = {"min_time:", "min_warmup_time:", "iterations:", "repeats:", "threads:"};
  constexpr std::array<std::string_view, 3> kPlain = {"real_time", "process_time", "manual_time"};
  for (;;) {
    const size_t slash = benchmark_name.rfind('/');
    if (slash == std::string_view::npos) return benchmark_name;
    const std::string_view last = benchmark_name.substr(slash + 1);
    const bool numbered = std::ranges::any_of(kNumbered, [&](std::string_view suffix) { return last.starts_with(suffix); });
    if (!numbered && std::ranges::find(kPlain, last) == kPlain.end()) return benchmark_name;
    benchmark_name = benchmark_name.substr(0, slash);
  }
}

Result<std::array<std::string_view, 4>> split(std::string_view benchmark_name) {
  constexpr size_t kLongest = 250;  // a column of results.csv has at most 256 bytes, and the dtype is appended to the group
  std::array<std::string_view, 4> parts;
  for (size_t i = 0; i < 4; ++i) {
    const size_t slash = i < 3 ? benchmark_name.find('/') : benchmark_name.size();
    if (slash == std::string_view::npos || slash == 0 || slash > kLongest ||
        (i == 3 && benchmark_name.find('/') != std::string_view::npos))
      return fail(Code::invalid_argument, "its name is not <group>/<variant>[@k=v;k=v]/<dtype>/<label> of at most {} bytes each",
                  kLongest);
    parts[i] = benchmark_name.substr(0, slash);
    benchmark_name.remove_prefix(std::min(slash + 1, benchmark_name.size()));
  }
  return parts;
}

Result<double> nanoseconds(const JsonObject& run) {
  METALLIC_TRY(const double time, run.number("real_time"));
  METALLIC_TRY(const std::string unit, run.text("time_unit"));
  const double scale = unit == "ns" ? 1 : unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
  if (scale == 0) return fail(Code::invalid_argument, "time_unit is {}: use ns, us, ms or s", in_quotes(unit));
  if (time < 0 || time * scale > 1e18)
    return fail(Code::invalid_argument, "real_time is {} {}: use a time from 0 to 30 years", time, unit);
  return time * scale;
}

Result<ResultRow> identity(std::string_view benchmark_name) {
  METALLIC_TRY(const auto parts, split(without_suffixes(benchmark_name)));
  const auto [group, instance, dtype, label_text] = parts;
  const auto problem = parse_label(label_text);
  if (!problem) return tl::unexpected(problem.error());
  if (!parse_dtype(dtype)) return fail(Code::invalid_argument, "its dtype is {}: use {}", in_quotes(dtype), kDTypeNames);
  ResultRow row;
  row.benchmark = fmt::format("{}_{}", group, dtype);
  const size_t at = instance.find('@');
  row.variant = std::string(instance.substr(0, at));
  row.tuning = at == std::string_view::npos ? "" : std::string(instance.substr(at + 1));
  row.dtype = std::string(dtype);
  row.parameters = std::string(label_text);
  const Work done = work(*problem);
  row.bytes = done.bytes;
  row.flops = done.flops;
  row.throughput = done.operations;  // divided by the time once that is known
  return row;
}

bool is_true(const JsonObject& run, const char* key) { return run.has(key) && run.value()[key] == true; }

// Why a benchmark did not run to its end, by its own words.
Status ran(const JsonObject& run) {
  const auto with_message = [&](std::string_view what, const char* key) {
    const auto message = run.text(key, 1024);
    return fail(Code::invalid_argument, "{}{}{}", what, message ? ": " : "", message ? *message : "");
  };
  if (is_true(run, "skipped")) return with_message("it was skipped", "skip_message");
  if (is_true(run, "error_occurred")) return with_message("it ended in an error", "error_message");
  return {};
}

struct Run {
  ResultRow row;
  double ns;
};

Result<Run> read_run(const JsonObject& run, std::string_view full_name) {
  METALLIC_CHECK(ran(run));
  METALLIC_TRY(ResultRow row, identity(full_name));
  METALLIC_TRY(const double ns, nanoseconds(run));
  if (run.has("threads_used")) {
    METALLIC_TRY(const double threads, run.number("threads_used"));
    row.threads = static_cast<int64_t>(std::clamp(threads, 0.0, 1024.0));
  }
  return Run{std::move(row), ns};
}

}  // namespace

Result<std::vector<ResultRow>> parse_google_benchmark(std::string_view text, std::string_view where,
                                                      const PassedOver& passed_over) {
  METALLIC_TRY(const Json json, parse_json(text, where, kMostBytes, NonFinite::read_as_null));
  const JsonObject root(json, fmt::format("{}:", where));
  METALLIC_TRY(const JsonObject context, root.object("context"));
  METALLIC_TRY(const Json* runs, root.array("benchmarks", 1'000'000));
  ResultRow common;
  // Programs set these with benchmark::AddCustomContext.
  for (const auto& [key, member] : {std::pair{"metallic_device", &ResultRow::device},
                                    {"metallic_target", &ResultRow::target},
                                    {"metallic_build", &ResultRow::build},
                                    {"metallic_cache", &ResultRow::cache}})
    METALLIC_CHECK(context.read_optional(key, common.*member));

  std::vector<ResultRow> rows;
  std::vector<std::vector<double>> times;
  std::map<std::string, size_t> row_of;
  std::set<std::string> unusable;
  std::vector<std::string> faults;
  for (size_t i = 0; i < runs->size(); ++i) {
    const JsonObject run((*runs)[i], fmt::format("benchmarks[{}]", i));
    if (run.has("run_type") && run.value()["run_type"] != "iteration") continue;  // before 1.5 there was no run_type
    const Result<std::string> full_name = run.text("name", 1024);
    const Result<Run> read = full_name ? read_run(run, *full_name) : tl::unexpected(full_name.error());
    if (!read) {
      const std::string line = fmt::format("{:?}: {}", full_name.value_or(""), read.error().message);
      if (unusable.insert(line).second) faults.push_back(line);
      continue;
    }
    ResultRow row = read->row;
    row.device = common.device, row.target = common.target, row.build = common.build, row.cache = common.cache;
    const std::string key = fmt::format("{}/{}@{}/{}", row.benchmark, row.variant, row.tuning, row.parameters);
    const auto [place, is_new] = row_of.try_emplace(key, rows.size());
    if (is_new) {
      rows.push_back(std::move(row));
      times.emplace_back();
    }
    times[place->second].push_back(read->ns);
  }
  if (rows.empty())
    return fail(Code::invalid_argument, "{}: it has no usable benchmark run{}{}", where, faults.empty() ? "" : ": ",
                faults.empty() ? "" : faults.front());
  if (passed_over)
    for (const std::string& fault : faults) passed_over(fmt::format("{}: passed over {}", where, fault));
  for (size_t i = 0; i < rows.size(); ++i) {
    auto& t = times[i];
    std::ranges::sort(t);
    rows[i].mean_time = boost::math::statistics::mean(t);
    rows[i].median_time = boost::math::statistics::median(t);
    rows[i].ci_low = t.front();
    rows[i].ci_high = t.back();
    rows[i].samples = static_cast<int64_t>(t.size());
    rows[i].throughput = rows[i].mean_time > 1e-6 ? rows[i].throughput / (rows[i].mean_time * 1e-9) : 0;
  }
  return rows;
}

}  // namespace metallic
