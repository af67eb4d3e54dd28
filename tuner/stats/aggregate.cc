#include "tuner/stats/aggregate.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <cmath>

namespace metallic::tune {
namespace {

struct Interval {
  double low;
  double high;
};

// The number of values below the median is binomial(n, 1/2): its quantiles are the ranks that enclose the median.
Interval median_interval(const std::vector<double>& sorted) {
  const boost::math::binomial_distribution<double> below(static_cast<double>(sorted.size()), 0.5);
  const auto last = static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(std::clamp(boost::math::quantile(below, 0.025) - 1, 0.0, last));
  const auto high = static_cast<size_t>(std::clamp(boost::math::quantile(below, 0.975), 0.0, last));
  return {sorted[low], sorted[high]};
}

}  // namespace

std::vector<ResultRow> aggregate(const Measurements& measurements, std::string_view target) {
  std::vector<ResultRow> rows;
  for (const Series& series : measurements.series) {
    const Work done = work(series.problem);
    for (const Arm& arm : series.arms) {
      std::vector<double> times;
      std::ranges::copy_if(arm.time, std::back_inserter(times), [](double t) { return !std::isnan(t); });
      if (times.empty()) continue;
      std::ranges::sort(times);
      ResultRow row;
      row.benchmark = fmt::format("{}_{}", name(series.problem.op()), name(series.problem.dtype));
      row.variant = arm.choice.variant;
      row.parameters = series.label;
      row.dtype = std::string(name(series.problem.dtype));
      row.tuning = arm.choice.tuning;
      row.target = std::string(target);
      row.threads = series.problem.threads;
      row.cache = series.cache;
      row.device = measurements.device;
      row.build = measurements.build;
      row.mean_time = boost::math::statistics::mean(times);
      row.throughput = done.operations / (row.mean_time * 1e-9);
      row.median_time = boost::math::statistics::median(times);
      const Interval interval = median_interval(times);
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
