// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/crossover.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <boost/math/interpolators/pchip.hpp>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "tuner/stats/autocorrelation.h"
#include "tuner/stats/quantile.h"

namespace metallic::tune {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A trimmed mean, and the standard deviation of one value that its error is computed from.
struct TrimmedMean {
  double mean;
  double deviation;  // such that the mean's standard error is deviation / √n
  double freedom;
};

TrimmedMean trimmed(std::vector<double> values) {
  const size_t n = values.size(), cut = n / 5, kept = n - 2 * cut;
  std::ranges::sort(values);
  double mean = 0, winsorized = 0, squares = 0;
  for (size_t i = cut; i < n - cut; ++i) mean += values[i] / static_cast<double>(kept);
  for (double& value : values) value = std::clamp(value, values[cut], values[n - 1 - cut]);
  for (const double value : values) winsorized += value / static_cast<double>(n);
  for (const double value : values) squares += (value - winsorized) * (value - winsorized);
  if (kept < 2) return {mean, 0, 0};
  return {mean, std::sqrt(squares * static_cast<double>(n) / static_cast<double>(kept * (kept - 1))),
          static_cast<double>(kept - 1)};
}

// Lag-1 autocorrelation pooled over all places, without the bias of deviations from a mean of few blocks.
double pooled_autocorrelation(std::span<const std::vector<double>> values) {
  LagOneSums sums;
  double weighted_blocks = 0;
  std::vector<double> deviations;
  for (const std::vector<double>& of_place : values) {
    const double middle = median(of_place), reach = 4 * median_absolute_deviation(of_place, middle);
    deviations.clear();
    double mean = 0;
    for (const double value : of_place) {
      deviations.push_back(std::clamp(value - middle, -reach, reach));  // lone outliers would hide the correlation
      mean += deviations.back() / static_cast<double>(of_place.size());
    }
    for (double& deviation : deviations) deviation -= mean;
    LagOneSums own;
    own.add(deviations);
    sums.products += own.products;
    sums.squares += own.squares;
    weighted_blocks += own.squares * static_cast<double>(of_place.size());
  }
  const double n = sums.squares > 0 ? weighted_blocks / sums.squares : 0;
  if (n < 6) return 0;  // too few in a row to tell
  return std::clamp((sums.products / sums.squares + 1 / n) / (1 - 3 / n), 0.0, 0.9);
}

// How much autocorrelation inflates the variance of a mean of n values over what their own deviations suggest.
double inflation(double correlation, size_t n) {
  double factor = 1, power = 1;
  const auto count = static_cast<double>(n);
  for (size_t lag = 1; lag < n && power > 1e-9; ++lag)
    factor += 2 * (1 - static_cast<double>(lag) / count) * (power *= correlation);
  return n < 2 ? 1 : factor * (count - 1) / (count - std::min(factor, count / 2));
}

using Interpolant = std::function<double(double)>;

// The line between the places, bent as the cubic is: half as much at `shape` 0, half more at `shape` 1.
Interpolant interpolate(const std::vector<double>& x, const std::vector<double>& y, double shape) {
  const auto line = [&](double at) {
    const size_t i = std::clamp<size_t>(static_cast<size_t>(std::ranges::upper_bound(x, at) - x.begin()), 1, x.size() - 1);
    return y[i - 1] + (y[i] - y[i - 1]) * (at - x[i - 1]) / (x[i] - x[i - 1]);
  };
  if (x.size() < 4) return line;
  const boost::math::interpolators::pchip cubic{std::vector(x), std::vector(y)};
  return [=](double at) { return line(at) + (0.5 + shape) * (cubic(at) - line(at)); };
}

// Whether the curve is more than three times as steep between i and i + 1 as on either side.
bool jumps(const std::vector<double>& x, const std::vector<double>& y, size_t i) {
  const auto slope = [&](size_t from) { return std::abs((y[from + 1] - y[from]) / (x[from + 1] - x[from])); };
  if (i == 0 || i + 2 >= x.size()) return false;
  return slope(i) > 3 * std::max(slope(i - 1), slope(i + 1));
}

// The zero between places `first` and `last` that leaves the least area of wrong sign. `shape`, from 0 to 1, is what the places
// do not determine: how much the curve bends between them, and where it jumps.
double zero(const std::vector<double>& x, const std::vector<double>& y, size_t first, size_t last, double shape) {
  constexpr int kSteps = 16;
  const Interpolant curve = interpolate(x, y, shape);
  double area = 0, least = 0, found = x[first], before = y[first];
  for (size_t i = first; i < last; ++i)
    for (int step = 1; step <= kSteps; ++step) {
      const double width = (x[i + 1] - x[i]) / kSteps, at = step == kSteps ? x[i + 1] : x[i] + width * step, here = curve(at);
      area += (before + here) / 2 * width;
      if (area < least) least = area, found = at;
      // The least area is at the zero within the step; the sum above includes the area beyond it.
      if (before < 0 && here >= 0) {
        const double part = before / (before - here), there = area - here * (1 - part) * width / 2;
        if (there <= least) {
          least = there;
          found = jumps(x, y, i) ? x[i] + (x[i + 1] - x[i]) * shape : at - width * (1 - part);
        }
      }
      before = here;
    }
  return found;
}

}  // namespace

double margin(const CurveEstimate& estimate, double confidence) {
  if (std::isinf(estimate.error)) return kInfinity;
  const boost::math::students_t_distribution<double> student(estimate.freedom);
  return estimate.error * boost::math::quantile(student, 0.5 + confidence / 2);
}

std::vector<CurveEstimate> estimate_curve(std::span<const double> x, std::span<const std::vector<double>> values) {
  constexpr double kPrior = 10;
  std::vector<TrimmedMean> means;
  double squares = 0, freedom = 0;
  for (const std::vector<double>& of_place : values) {
    means.push_back(trimmed(of_place));
    squares += means.back().freedom * means.back().deviation * means.back().deviation;
    freedom += means.back().freedom;
  }
  const double prior = std::min(kPrior, freedom), correlation = pooled_autocorrelation(values);
  std::vector<CurveEstimate> result;
  for (size_t i = 0; i < means.size(); ++i) {
    const auto& [mean, deviation, own] = means[i];
    CurveEstimate estimate{.x = x[i], .mean = mean, .error = kInfinity, .freedom = own + prior};
    if (freedom > 0) {
      const double variance = (own * deviation * deviation + prior * squares / freedom) / (own + prior);
      const size_t n = values[i].size();
      estimate.error = std::sqrt(variance / static_cast<double>(n) * inflation(correlation, n));
    }
    result.push_back(estimate);
  }
  return result;
}

std::optional<Crossover> find_crossover(std::span<const CurveEstimate> estimates, int draws, uint64_t seed) {
  constexpr double kClear = 3;
  std::vector<double> x, y;
  size_t first = estimates.size(), last = estimates.size();  // the last clearly negative place, the first clearly positive one
  for (size_t i = 0; i < estimates.size(); ++i) {
    const CurveEstimate& estimate = estimates[i];
    x.push_back(estimate.x);
    y.push_back(estimate.mean);
    // Without errors every sign counts.
    const double clear = std::isinf(estimate.error) ? 0 : kClear * estimate.error;
    if (estimate.mean < -clear) {
      if (last < estimates.size()) return std::nullopt;
      first = i;
    } else if (estimate.mean > clear && last == estimates.size()) {
      last = i;
    }
  }
  if (first == estimates.size() || last == estimates.size()) return std::nullopt;
  Crossover found{.x = zero(x, y, first, last, 0.5), .low = {}, .high = {}};
  if (std::isinf(estimates[0].error) || draws == 0) return found;

  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> shape;
  std::vector<double> zeros;
  for (int draw = 0; draw < draws; ++draw) {
    for (size_t i = 0; i < estimates.size(); ++i)
      y[i] = estimates[i].mean + estimates[i].error * std::student_t_distribution<double>(estimates[i].freedom)(random);
    zeros.push_back(zero(x, y, first, last, shape(random)));
  }
  found.low = quantile(zeros, 0.025);
  found.high = quantile(zeros, 0.975);
  return found;
}

}  // namespace metallic::tune
