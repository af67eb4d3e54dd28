// Aggregates: mean, median and its confidence interval for each candidate of each series, as results.csv has them.
#pragma once

#include <vector>

#include "tuner/io/records.h"
#include "tuner/stats/measurements.h"

namespace metallic::tune {

/// One row a candidate; the interval is the distribution-free one of the median from order statistics, 95 % or as near as
/// the number of samples allows. `target` is the SIMD target; workspace bytes are not known here and stay 0.
std::vector<ResultRow> aggregate(const Measurements& measurements, std::string_view target);

}  // namespace metallic::tune
