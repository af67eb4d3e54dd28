// SPDX-License-Identifier: Apache-2.0
// Aggregates for results.csv: mean, median and the median's confidence interval of each candidate of each series.
#pragma once

#include <vector>

#include "tuner/io/records.h"
#include "tuner/stats/measurements.h"

namespace metallic::tune {

/// One row for each candidate. The interval is that of `median_interval`. `target` is the SIMD target. Workspace bytes are not
/// known here and stay 0.
std::vector<ResultRow> aggregate(const Measurements& measurements, std::string_view target);

}  // namespace metallic::tune
