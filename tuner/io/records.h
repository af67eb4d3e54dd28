// SPDX-License-Identifier: Apache-2.0
// Records: the rows of results.csv and samples.csv. One table of columns each defines how they are read and written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace metallic {

/// The columns that results.csv and samples.csv share: what was timed. Absent text columns read "unknown".
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
  size_t line = 0;  ///< in the file it was read from; 0: none
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

/// One row of samples.csv: one candidate of a block. `time_ns` is for one call, the mean over `iterations`.
struct SampleRow : Identity {
  std::string op = "unknown";
  int64_t block = 0;  ///< candidates of equal label, cache and block were timed together
  int64_t order = 0;  ///< place of the candidate in its block
  int64_t seed = 0;
  int64_t iterations = 0;
  double time_ns = 0;
  double weight = 1;
  double at_s = 0;  ///< start of its block, in seconds since the run began
};

/// A column: its name, its member of the row, and whether it is required.
template <typename Row>
struct RecordColumn {
  std::string_view name;
  std::variant<std::string Row::*, int64_t Row::*, double Row::*> member;
  bool required = false;
};

std::span<const RecordColumn<ResultRow>> result_columns();
std::span<const RecordColumn<SampleRow>> sample_columns();

template <typename Row>
std::string to_csv(std::span<const RecordColumn<Row>> columns, std::span<const Row> rows);
template <typename Row>
Json to_json(std::span<const RecordColumn<Row>> columns, const Row& row);

/// Rows in the order of the file. Unknown columns are skipped. Numbers must be finite and not negative.
Result<std::vector<ResultRow>> parse_results(std::string_view text, std::string_view where);
Result<std::vector<SampleRow>> parse_samples(std::string_view text, std::string_view where);

/// The same row by row, for files with too many rows to keep. `visit` also gets the line; its first error ends the reading.
Status visit_samples(std::string_view text, std::string_view where,
                     const std::function<Status(const SampleRow& row, size_t line)>& visit);

/// Whether the header is that of samples.csv: whether it has a column `time_ns`.
bool looks_like_samples(std::string_view text);

}  // namespace metallic
