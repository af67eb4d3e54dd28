// Records: rows of results.csv and samples.csv, read and written through one table of columns each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/json.h"

namespace metallic {

/// What was timed: the columns that results.csv and samples.csv share. Absent text columns read "unknown".
struct Identity {
  std::string benchmark = "unknown";   ///< <group>_<dtype>
  std::string variant = "unknown";     ///< bare name
  std::string parameters = "unknown";  ///< the label
  std::string dtype = "unknown";
  std::string tuning;              ///< `k=v;k=v`
  std::string target = "unknown";  ///< SIMD target or GPU architecture
  int64_t threads = 0;             ///< 0: unknown
  std::string cache = "unknown";   ///< cold | warm
  std::string device = "unknown";  ///< the fingerprint
  std::string build = "unknown";
  size_t line = 0;  ///< of the file that it was read from; 0: of none
};

/// One row of results.csv: an aggregate over samples. Times in ns, throughput in operations/s.
struct ResultRow : Identity {
  double mean_time = 0;
  double throughput = 0;
  double median_time = 0;
  double ci_low = 0;
  double ci_high = 0;
  int64_t samples = 0;
  double bytes = 0;
  double flops = 0;
  int64_t workspace_bytes = 0;
};

/// One row of samples.csv: one timed arm of a block. `time_ns` is for one call, the mean over `iterations`.
struct SampleRow : Identity {
  std::string op = "unknown";
  int64_t block = 0;  ///< arms of equal label, cache and block were timed together
  int64_t order = 0;  ///< the arm's place in its block
  int64_t seed = 0;
  int64_t iterations = 0;
  double time_ns = 0;
  double weight = 1;
  double at_s = 0;  ///< when its block began, in seconds since the run did
};

/// A column: its name, where it lives in a row, and whether a file without it is refused.
template <typename Row>
struct Column {
  std::string_view name;
  std::variant<std::string Row::*, int64_t Row::*, double Row::*> member;
  bool required = false;
};

std::span<const Column<ResultRow>> result_columns();
std::span<const Column<SampleRow>> sample_columns();

template <typename Row>
std::string to_csv(std::span<const Column<Row>> columns, std::span<const Row> rows);
template <typename Row>
Json to_json(std::span<const Column<Row>> columns, const Row& row);

/// Rows in the file's order. Unknown columns are passed over; numbers must be finite and not negative.
Result<std::vector<ResultRow>> parse_results(std::string_view text, std::string_view where);
Result<std::vector<SampleRow>> parse_samples(std::string_view text, std::string_view where);

/// The same row by row, for files whose rows are too many to keep; stops at the first error of `visit`, which gets the line too.
Status visit_samples(std::string_view text, std::string_view where,
                     const std::function<Status(const SampleRow& row, size_t line)>& visit);

/// True where the header is that of samples.csv (it has a column `time_ns`).
bool looks_like_samples(std::string_view text);

}  // namespace metallic
