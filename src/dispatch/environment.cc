// SPDX-License-Identifier: Apache-2.0
#include "dispatch/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "ops/registry.h"

namespace metallic {
namespace {

constexpr int64_t kLargestThreshold = int64_t{1} << 48;

tl::unexpected<Error> wrong(std::string_view name, std::string_view value, std::string_view allowed) {
  return fail(Code::invalid_argument, "environment variable {} is {}: use {}", name, in_quotes(value), allowed);
}

Result<int64_t> number(std::string_view name, std::string_view value, int64_t low, int64_t high) {
  int64_t parsed = 0;
  const auto [stop, status] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (status != std::errc() || stop != value.data() + value.size() || parsed < low || parsed > high)
    return wrong(name, value, fmt::format("a whole number from {} to {}", low, high));
  return parsed;
}

template <std::optional<std::string> Environment::*field>
Status read_path(std::string_view value, std::string_view, Environment& environment) {
  environment.*field = std::string(value);
  return {};
}

Status read_profile(std::string_view value, std::string_view, Environment& environment) {
  if (value != "auto") environment.profile = std::string(value);
  return {};
}

Status read_profiler(std::string_view value, std::string_view name, Environment& environment) {
  if (value != "true" && value != "false") return wrong(name, value, "true or false");
  environment.profiler = value == "true";
  return {};
}

Status read_numerics(std::string_view value, std::string_view name, Environment& environment) {
  const auto numerics = parse_numerics(value);
  if (!numerics) return wrong(name, value, kNumericsNames);
  environment.numerics = *numerics;
  return {};
}

Status read_log_level(std::string_view value, std::string_view name, Environment& environment) {
  const auto level = parse_log_level(value);
  if (!level) return wrong(name, value, "error, warning, info, debug or trace");
  environment.log_level = *level;
  return {};
}

Status read_threads(std::string_view value, std::string_view name, Environment& environment) {
  METALLIC_TRY(const int64_t threads, number(name, value, 1, 1024));
  environment.threads = static_cast<int>(threads);
  return {};
}

// "auto, vec, block": what a variable that forces a variant accepts, besides full names of variants.
EnvironmentVariable variant_variable(Op op) {
  return {op->variant_variable, short_words(op) + ", or a variant's full name", op->variant_variable_help,
          [op](std::string_view value, std::string_view, Environment& environment) -> Status {
            if (value != "auto") environment.variants.insert_or_assign(std::string(op->name), std::string(value));
            return {};
          }};
}

EnvironmentVariable limit_variable(const LimitVariable& limit) {
  return {limit.variable, "a whole number", limit.help,
          [](std::string_view value, std::string_view name, Environment& environment) -> Status {
            METALLIC_TRY(const int64_t parsed, number(name, value, 0, kLargestThreshold));
            environment.limits.insert_or_assign(std::string(name), parsed);
            return {};
          }};
}

std::vector<EnvironmentVariable> make_table() {
  std::vector<EnvironmentVariable> table;
  for (const Op op : operations()) table.push_back(variant_variable(op));
  for (const Op op : operations())
    for (const LimitVariable& limit : op->limits) table.push_back(limit_variable(limit));
  const EnvironmentVariable others[] = {
      {"METALLIC_PROFILE", "a path, or none",
       "a profile to use instead of the installed one; none: no profile, not even a built-in one", read_profile},
      {"METALLIC_DETERMINISM", "fast, run_to_run, batch_invariant",
       "which guarantee results have: may vary, repeatable, or independent of the batch", read_numerics},
      {"METALLIC_LOG_LEVEL", "error, warning, info, debug, trace", "least severe messages to log; debug logs each new decision",
       read_log_level},
      {"METALLIC_GPU_PROFILER", "true, false",
       "times each run of a plan, on a GPU by its own clock, and prints a summary on stderr", read_profiler},
      {"METALLIC_TRACE", "a path", "file for the timed runs as Chrome trace JSON (Perfetto); the last context writes it",
       read_path<&Environment::trace>},
      {"METALLIC_RECORD", "a path", "file to which the problems that ran are added with their counts: a list for --shapes",
       read_path<&Environment::record>},
      {"METALLIC_NUM_THREADS", "a whole number from 1 to 1024", "CPU threads; unset: one for each core, within the CPU quota",
       read_threads},
  };
  table.insert(table.end(), std::begin(others), std::end(others));
  return table;
}

}  // namespace

std::string short_words(Op op) {
  std::string words = "auto";
  for (const ShortName& name : op->short_names) words += fmt::format(", {}", name.word);
  return words;
}

std::span<const EnvironmentVariable> environment_table() {
  static const std::vector<EnvironmentVariable> table = make_table();
  return table;
}

std::vector<std::string> unknown_variables() {
  std::vector<std::string> unknown;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view name = std::string_view(*entry).substr(0, std::string_view(*entry).find('='));
    if (name.starts_with("METALLIC_") &&
        std::ranges::find(environment_table(), name, &EnvironmentVariable::name) == environment_table().end())
      unknown.emplace_back(name);
  }
  return unknown;
}

Lookup process_environment() {
  return [](std::string_view name) -> std::optional<std::string> {
    const char* value = std::getenv(std::string(name).c_str());
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

Result<Environment> read_environment(const Lookup& lookup) {
  Environment environment;
  for (const auto& variable : environment_table())
    if (const auto value = lookup(variable.name); value && !value->empty())
      METALLIC_CHECK(variable.read(*value, variable.name, environment));
  return environment;
}

}  // namespace metallic
