// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/aggregate.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <cmath>

#include "tuner/stats/quantile.h"

namespace metallic::tune {

std::vector<ResultRow> aggregate(const Measurements& measurements, std::string_view target) {
  std::vector<ResultRow> rows;
  for (const Series& series : measurements.series) {
    const Work done = work(series.problem);
    for (const CandidateTimes& candidate : series.candidates) {
      std::vector<double> times;
      std::ranges::copy_if(candidate.time, std::back_inserter(times), [](double t) { return !std::isnan(t); });
      if (times.empty()) continue;
      std::ranges::sort(times);
      ResultRow row;
      row.benchmark = fmt::format("{}_{}", name(series.problem.op()), name(series.problem.dtype));
      row.variant = candidate.config.variant;
      row.parameters = series.label;
      row.dtype = std::string(name(series.problem.dtype));
      row.tuning = candidate.config.tuning;
      row.target = std::string(target);
      row.threads = series.problem.threads;
      row.cache = series.cache;
      row.device = measurements.device;
      row.build = measurements.build;
      row.mean_time = boost::math::statistics::mean(times);
      row.throughput = done.operations / (row.mean_time * 1e-9);
      const MedianInterval interval = median_interval(times);
      row.median_time = interval.median;
      row.ci_low = interval.low;
      row.ci_high = interval.high;
      row.samples = static_cast<int64_t>(times.size());
      row.bytes = done.bytes;
      row.flops = done.flops;
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

}  // namespace metallic::tune
