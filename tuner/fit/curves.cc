// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "tuner/fit/crossover.h"
#include "tuner/fit/points.h"
#include "tuner/operation/operation.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {

std::string held_fixed(const Problem& problem) { return tuner_operation(problem.op()).held_fixed(problem); }

namespace {

// Block b is in fold b mod kBlockFolds.
constexpr size_t kBlockFolds = 16, kNone = kBlockFolds;

// Median log time over the blocks that are not in a fold.
double log_time(const CandidateTimes& candidate, size_t without = kNone) {
  std::vector<double> logs;
  for (size_t block = 0; block < candidate.time.size(); ++block)
    if (block % kBlockFolds != without) logs.push_back(std::log(candidate.time[block]));
  return median(std::move(logs));
}

// The fastest candidate of a family over the blocks that are not in a fold; null if none was timed there. A candidate that was
// dropped early does not count: with so few blocks only luck makes it the fastest.
const CandidateTimes* fastest(const Series& series, std::string_view wanted, size_t without = kNone) {
  int64_t most = 0;
  for (const CandidateTimes& candidate : series.candidates)
    if (family(candidate.config.variant) == wanted) most = std::max(most, candidate.timed_blocks());
  const CandidateTimes* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const CandidateTimes& candidate : series.candidates)
    if (family(candidate.config.variant) == wanted && 2 * candidate.timed_blocks() >= most)
      if (const double time = log_time(candidate, without); time < least) least = time, best = &candidate;
  return best;
}

// log(time_a / time_b) by block: disturbances that a block's candidates share cancel. Each fold compares the candidates that are
// fastest over the other folds; the fastest of many in the same fold would flatter its family.
std::vector<double> log_ratios(const Series& series, const CurveFamilies& families) {
  const size_t blocks = series.blocks();
  std::vector<double> ratios(blocks, std::numeric_limits<double>::quiet_NaN());
  for (size_t fold = 0; fold < std::min(blocks, kBlockFolds); ++fold) {
    const size_t without = blocks > 1 ? fold : kNone;
    const CandidateTimes *a = fastest(series, families.a, without), *b = fastest(series, families.b, without);
    for (size_t block = fold; a && b && block < blocks; block += kBlockFolds)
      ratios[block] = std::log(a->time[block]) - std::log(b->time[block]);
  }
  std::erase_if(ratios, [](double ratio) { return std::isnan(ratio); });
  return ratios;
}

struct CurveSeries {
  int64_t x;
  const Series* series;
  std::vector<double> ratios;
};

Curve make_curve(std::span<const CurveSeries> places, const CurveFamilies& families, int draws, uint64_t seed) {
  const Series& first = *places.front().series;
  Curve curve{.op = first.problem.op(),
              .dtype = first.problem.dtype,
              .threads = first.problem.threads,
              .layout = layout(first.problem),
              .cache = first.cache,
              .axis = families.axis,
              .where = held_fixed(first.problem),
              .family_a = std::string(families.a),
              .family_b = std::string(families.b)};
  std::vector<double> x;
  std::vector<std::vector<double>> values;
  for (const CurveSeries& place : places) {
    x.push_back(std::log(static_cast<double>(place.x)));
    values.push_back(place.ratios);
  }
  const std::vector<CurveEstimate> estimates = estimate_curve(x, values);
  for (size_t i = 0; i < places.size(); ++i) {
    const double half = margin(estimates[i], 0.95);
    const auto time = [&](std::string_view wanted) { return std::exp(log_time(*fastest(*places[i].series, wanted))); };
    curve.points.push_back({.x = places[i].x,
                            .log_ratio = estimates[i].mean,
                            .low = estimates[i].mean - half,
                            .high = estimates[i].mean + half,
                            .time_a = time(families.a),
                            .time_b = time(families.b)});
  }
  if (const auto found = find_crossover(estimates, draws, seed)) {
    curve.crossover = std::exp(found->x);
    if (found->low) curve.crossover_low = std::exp(*found->low);
    if (found->high) curve.crossover_high = std::exp(*found->high);
  }
  return curve;
}

}  // namespace

std::vector<Curve> curves(const Measurements& measurements, int draws, uint64_t seed) {
  std::map<std::tuple<Op, DType, std::string, std::string, std::string, int>, std::vector<CurveSeries>> groups;
  for (const Series& series : measurements.series) {
    const Problem& problem = series.problem;
    const auto& of_op = tuner_operation(problem.op()).curve;
    if (!of_op) continue;
    CurveSeries place{.x = *value(problem, of_op->axis), .series = &series, .ratios = log_ratios(series, *of_op)};
    if (place.x > 0 && !place.ratios.empty())
      groups[{problem.op(), problem.dtype, layout(problem), series.cache, held_fixed(problem), problem.threads}].push_back(
          std::move(place));
  }
  std::vector<Curve> result;
  for (auto& [key, places] : groups) {
    std::ranges::stable_sort(places, {}, &CurveSeries::x);
    const auto repeated = std::ranges::unique(places, {}, &CurveSeries::x);
    places.erase(repeated.begin(), repeated.end());
    if (places.size() > 1)
      result.push_back(make_curve(places, *tuner_operation(std::get<0>(key)).curve, draws, seed + result.size()));
  }
  return result;
}

}  // namespace metallic::tune
