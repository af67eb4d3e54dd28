// SPDX-License-Identifier: Apache-2.0
// Fuzzes JSON of Google Benchmark: accepted rows are finite and can be written to results.csv.
#include "tuner/io/google_benchmark.h"

#include <cmath>

#include "property.h"
#include "tuner/io/records.h"

using namespace metallic;

void run(std::string_view text) {
  const auto rows = parse_google_benchmark(text, "input");
  if (!rows) return ONE_LINE(rows);
  for (const ResultRow& row : *rows) {
    PROPERTY(row.ci_low <= row.median_time && row.median_time <= row.ci_high && row.samples > 0);
    PROPERTY(std::isfinite(row.mean_time) && row.mean_time >= 0);
    PROPERTY(std::isfinite(row.throughput) && row.throughput >= 0);
  }
  const auto again = parse_results(to_csv(result_columns(), std::span<const ResultRow>(*rows)), "again");
  PROPERTY(again.has_value());
  PROPERTY(again->size() == rows->size());
}
