// SPDX-License-Identifier: Apache-2.0
// Fuzzes samples.csv and results.csv: accepted rows survive a round trip, and the analysis accepts them.
#include <algorithm>

#include "property.h"
#include "tuner/fit/analysis.h"
#include "tuner/io/records.h"
#include "tuner/stats/aggregate.h"
#include "tuner/stats/measurements.h"

using namespace metallic;

namespace {

template <typename Row>
std::vector<Row> round_trip(const std::vector<Row>& rows, std::span<const RecordColumn<Row>> columns,
                            Result<std::vector<Row>> (*parse)(std::string_view, std::string_view)) {
  const std::string text = to_csv(columns, std::span<const Row>(rows));
  const auto again = parse(text, "again");
  PROPERTY(again.has_value());
  PROPERTY(again->size() == rows.size());
  PROPERTY(to_csv(columns, std::span<const Row>(*again)) == text);
  return *again;
}

void analyze(const Result<tune::Measurements>& measurements) {
  if (!measurements) return ONE_LINE(measurements);
  const tune::AnalysisOptions options{.default_choice =
                                          [](const Problem&) {
                                            return tune::KernelConfig{"cpu_vec", ""};
                                          },
                                      .bootstraps = 10};
  const tune::Analysis analysis = tune::analyze(*measurements, options);
  PROPERTY(analysis.verdicts.size() == measurements->series.size());
  for (const tune::SeriesVerdict& verdict : analysis.verdicts) PROPERTY(!(verdict.regret.value_or(0) < -1));
  tune::aggregate(*measurements, "AVX2");
}

}  // namespace

void run(std::string_view text) {
  constexpr size_t kMost = 200;  // rows: enough for all rules, and fast
  if (looks_like_samples(text)) {
    auto rows = parse_samples(text, "input");
    if (!rows) return ONE_LINE(rows);
    rows->resize(std::min(rows->size(), kMost));
    analyze(tune::from_samples(round_trip(*rows, sample_columns(), parse_samples), "input", 1));
  } else {
    auto rows = parse_results(text, "input");
    if (!rows) return ONE_LINE(rows);
    rows->resize(std::min(rows->size(), kMost));
    analyze(tune::from_results(round_trip(*rows, result_columns(), parse_results), "input", 1));
  }
}
