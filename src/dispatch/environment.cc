#include "dispatch/environment.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

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

template <std::optional<int64_t> Environment::*field>
Status read_threshold(std::string_view value, std::string_view name, Environment& environment) {
  METALLIC_TRY(environment.*field, number(name, value, 0, kLargestThreshold));
  return {};
}

template <std::optional<std::string> Environment::*field>
Status read_text(std::string_view value, std::string_view, Environment& environment) {
  if (value != "auto") environment.*field = std::string(value);
  return {};
}

template <std::optional<std::string> Environment::*field>
Status read_path(std::string_view value, std::string_view, Environment& environment) {
  environment.*field = std::string(value);
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

constexpr auto kTable = std::to_array<EnvironmentVariable>({
    {"METALLIC_SOFTMAX_VARIANT", "auto, vec, block, or a variant's full name", "forces the softmax variant",
     read_text<&Environment::softmax_variant>},
    {"METALLIC_MATMUL_BACKEND", "auto, gemv, mlx, or a variant's full name",
     "forces the matmul variant; mlx means the best rule of the GEMM family", read_text<&Environment::matmul_backend>},
    {"METALLIC_SDPA_VARIANT", "auto, or a variant's full name", "forces the sdpa variant", read_text<&Environment::sdpa_variant>},
    {"METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "a whole number", "softmax uses vec up to this seq_k, and block above",
     read_threshold<&Environment::softmax_vec_block_threshold>},
    {"METALLIC_MATMUL_SMALLN_MAX_N", "a whole number", "matmul uses gemv up to this min(M, N)",
     read_threshold<&Environment::matmul_smalln_max_n>},
    {"METALLIC_MATMUL_SIMD_M_MIN", "a whole number", "matmul packs if max(M, N) is at least this",
     read_threshold<&Environment::matmul_simd_m_min>},
    {"METALLIC_MATMUL_SIMD_N_MIN", "a whole number", "matmul packs if min(M, N) is at least this",
     read_threshold<&Environment::matmul_simd_n_min>},
    {"METALLIC_PROFILE", "a path, or none",
     "a profile to use instead of the installed one; none: no profile, not even a built-in one",
     read_text<&Environment::profile>},
    {"METALLIC_DETERMINISM", "fast, run_to_run, batch_invariant", "how reproducible results are", read_numerics},
    {"METALLIC_LOG_LEVEL", "error, warning, info, debug, trace", "least severe messages to log; debug logs each new decision",
     read_log_level},
    {"METALLIC_GPU_PROFILER", "true, false",
     "times each run of a plan, on a GPU by its own clock, and prints a summary on stderr", read_profiler},
    {"METALLIC_TRACE", "a path", "file for the timed runs as Chrome trace JSON (Perfetto); the last context writes it",
     read_path<&Environment::trace>},
    {"METALLIC_RECORD", "a path", "file to which the problems that ran are added with their counts: a list for --shapes",
     read_path<&Environment::record>},
    {"METALLIC_NUM_THREADS", "a whole number from 1 to 1024", "CPU threads; unset: one for each core", read_threads},
});

}  // namespace

std::span<const EnvironmentVariable> environment_table() { return kTable; }

std::vector<std::string> unknown_variables() {
  std::vector<std::string> unknown;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view name = std::string_view(*entry).substr(0, std::string_view(*entry).find('='));
    if (name.starts_with("METALLIC_") && std::ranges::find(kTable, name, &EnvironmentVariable::name) == kTable.end())
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
  for (const auto& variable : kTable)
    if (const auto value = lookup(variable.name); value && !value->empty())
      METALLIC_CHECK(variable.read(*value, variable.name, environment));
  return environment;
}

}  // namespace metallic
