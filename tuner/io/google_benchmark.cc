// SPDX-License-Identifier: Apache-2.0
#include "tuner/io/google_benchmark.h"

#include <algorithm>
#include <array>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "ops/label.h"

namespace metallic {
namespace {

constexpr size_t kMostBytes = size_t{256} << 20;

// Removes what Google Benchmark appends to a name: "/iterations:10", "/real_time", "/threads:2" and the like.
std::string_view without_suffixes(std::string_view benchmark_name) {
  constexpr std::array<std::string_view, 4> kNumbered = {"/iterations:", "/repeats:", "/threads:", "/min_time:"};
  constexpr std::array<std::string_view, 3> kPlain = {"/real_time", "/process_time", "/manual_time"};
  for (const auto suffix : kNumbered)
    if (const size_t at = benchmark_name.find(suffix); at != std::string_view::npos)
      benchmark_name = benchmark_name.substr(0, at);
  for (const auto suffix : kPlain)
    if (const size_t at = benchmark_name.find(suffix); at != std::string_view::npos)
      benchmark_name = benchmark_name.substr(0, at);
  return benchmark_name;
}

Result<std::array<std::string_view, 4>> split(std::string_view benchmark_name, std::string_view path) {
  constexpr size_t kLongest = 250;  // a column of results.csv has at most 256 bytes, and the dtype is appended to the group
  std::array<std::string_view, 4> parts;
  for (size_t i = 0; i < 4; ++i) {
    const size_t slash = i < 3 ? benchmark_name.find('/') : benchmark_name.size();
    if (slash == std::string_view::npos || slash == 0 || slash > kLongest ||
        (i == 3 && benchmark_name.find('/') != std::string_view::npos))
      return fail(Code::invalid_argument,
                  "{} is {}: expected <group>/<variant>[@k=v;k=v]/<dtype>/<label> of at most {} bytes each", path,
                  in_quotes(benchmark_name), kLongest);
    parts[i] = benchmark_name.substr(0, slash);
    benchmark_name.remove_prefix(std::min(slash + 1, benchmark_name.size()));
  }
  return parts;
}

Result<double> nanoseconds(const JsonObject& run) {
  METALLIC_TRY(const double time, run.number("real_time"));
  METALLIC_TRY(const std::string unit, run.text("time_unit"));
  const double scale = unit == "ns" ? 1 : unit == "us" ? 1e3 : unit == "ms" ? 1e6 : unit == "s" ? 1e9 : 0;
  if (scale == 0) return fail(Code::invalid_argument, "{}.time_unit is {}: use ns, us, ms or s", run.path(), in_quotes(unit));
  if (time < 0 || time * scale > 1e18)
    return fail(Code::invalid_argument, "{}.real_time is {} {}: use a time from 0 to 30 years", run.path(), time, unit);
  return time * scale;
}

Result<ResultRow> identity(std::string_view benchmark_name, std::string_view path) {
  METALLIC_TRY(const auto parts, split(without_suffixes(benchmark_name), path));
  const auto [group, instance, dtype, label_text] = parts;
  const auto problem = parse_label(label_text);
  if (!problem) return fail(Code::invalid_argument, "{}: {}", path, problem.error().message);
  if (!parse_dtype(dtype))
    return fail(Code::invalid_argument, "{} has the dtype {}: use {}", path, in_quotes(dtype), kDTypeNames);
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

}  // namespace

Result<std::vector<ResultRow>> parse_google_benchmark(std::string_view text, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, kMostBytes));
  const JsonObject root(json, fmt::format("{}:", where));
  METALLIC_TRY(const JsonObject context, root.object("context"));
  METALLIC_TRY(const Json* runs, root.array("benchmarks", 1'000'000));

  std::vector<ResultRow> rows;
  std::vector<std::vector<double>> times;
  std::map<std::string, size_t> row_of;
  for (size_t i = 0; i < runs->size(); ++i) {
    const JsonObject run((*runs)[i], fmt::format("{}: benchmarks[{}]", where, i));
    METALLIC_TRY(const std::string kind, run.text("run_type"));
    if (kind != "iteration") continue;
    METALLIC_TRY(const std::string full_name, run.text("name", 1024));
    if (run.has("error_occurred") && run.value()["error_occurred"] == true)
      return fail(Code::invalid_argument, "{} {} ended in an error: run the benchmark again", run.path(), in_quotes(full_name));
    METALLIC_TRY(const double time, nanoseconds(run));
    METALLIC_TRY(ResultRow row, identity(full_name, run.path() + ".name"));
    if (run.has("threads_used")) {
      METALLIC_TRY(const double threads, run.number("threads_used"));
      row.threads = static_cast<int64_t>(std::clamp(threads, 0.0, 1024.0));
    }
    // Programs set these with benchmark::AddCustomContext.
    for (const auto& [key, member] : {std::pair{"metallic_device", &ResultRow::device},
                                      {"metallic_target", &ResultRow::target},
                                      {"metallic_build", &ResultRow::build},
                                      {"metallic_cache", &ResultRow::cache}})
      METALLIC_CHECK(context.read_optional(key, row.*member));
    const std::string key = fmt::format("{}/{}@{}/{}", row.benchmark, row.variant, row.tuning, row.parameters);
    const auto [place, is_new] = row_of.try_emplace(key, rows.size());
    if (is_new) {
      rows.push_back(std::move(row));
      times.emplace_back();
    }
    times[place->second].push_back(time);
  }
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
