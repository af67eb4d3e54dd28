// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/signed_rank.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "tuner/stats/ranks.h"

namespace metallic::tune {
namespace {

constexpr size_t kMaxExact = 30;
const boost::math::normal kNormal;

// The fraction of the 2ⁿ assignments of signs to the ranks whose positive ranks sum to at least `sum`.
double exact_p(std::span<const int64_t> ranks, int64_t sum) {
  const int64_t total = std::accumulate(ranks.begin(), ranks.end(), int64_t{0});
  std::vector<double> ways(static_cast<size_t>(total) + 1);
  ways[0] = 1;
  int64_t reached = 0;
  for (const int64_t rank : ranks) {
    for (int64_t s = reached; s >= 0; --s) ways[static_cast<size_t>(s + rank)] += ways[static_cast<size_t>(s)];
    reached += rank;
  }
  return std::accumulate(ways.begin() + sum, ways.end(), 0.0) * std::ldexp(1.0, -static_cast<int>(ranks.size()));
}

}  // namespace

double signed_rank_p(std::span<const double> values, double inflation) {
  std::vector<double> sizes;
  std::vector<bool> positive;
  for (const double value : values)
    if (value != 0) sizes.push_back(std::abs(value)), positive.push_back(value > 0);
  if (sizes.empty()) return 1;
  const std::vector<int64_t> ranks = doubled_ranks(sizes);
  int64_t sum = 0;
  double total = 0, squares = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (positive[i]) sum += ranks[i];
    total += static_cast<double>(ranks[i]);
    squares += static_cast<double>(ranks[i]) * static_cast<double>(ranks[i]);
  }
  double score;
  if (ranks.size() <= kMaxExact) {
    const double p = exact_p(ranks, sum);
    if (inflation <= 1 || p >= 0.5) return std::min(p, 1.0);
    score = boost::math::quantile(boost::math::complement(kNormal, p));
  } else {
    // Σr²/4 is the variance with its tie correction; ½ for continuity is 1 in doubled ranks.
    score = (static_cast<double>(sum) - total / 2 - 1) / std::sqrt(squares / 4);
  }
  return boost::math::cdf(boost::math::complement(kNormal, score / std::sqrt(std::max(inflation, 1.0))));
}

Location hodges_lehmann(std::span<const double> values, double tail, double inflation) {
  std::vector<double> means;
  means.reserve(values.size() * (values.size() + 1) / 2);
  for (size_t i = 0; i < values.size(); ++i)
    for (size_t j = 0; j <= i; ++j) means.push_back(values[i] / 2 + values[j] / 2);
  const auto ordered = [&](size_t rank) {
    const auto at = means.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(means.begin(), at, means.end());
    return *at;
  };
  const size_t count = means.size();
  Location location{.estimate = (ordered((count - 1) / 2) + ordered(count / 2)) / 2,
                    .low = -std::numeric_limits<double>::infinity(),
                    .high = std::numeric_limits<double>::infinity()};
  const auto n = static_cast<double>(values.size());
  const double spread = std::sqrt(n * (n + 1) * (2 * n + 1) / 24 * std::max(inflation, 1.0));
  const double cut = n * (n + 1) / 4 - boost::math::quantile(boost::math::complement(kNormal, tail)) * spread;
  if (cut >= 1) {
    const auto cut_off = static_cast<size_t>(cut);
    location.low = ordered(cut_off - 1);
    location.high = ordered(count - cut_off);
  }
  return location;
}

}  // namespace metallic::tune
