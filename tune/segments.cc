#include "tune/segments.h"

#include <algorithm>
#include <limits>

namespace metallic::tune {

// cost[i] is the least cost of the first i columns.
Segmentation fit_segments(std::span<const Column> columns, std::span<const double> penalties) {
  if (columns.empty()) return {};
  const size_t n = columns.size(), candidates = columns.front().loss.size();
  std::vector<double> cost(n + 1, std::numeric_limits<double>::infinity()), sum(candidates);
  std::vector<size_t> from(n + 1, 0), candidate(n + 1, 0);
  cost[0] = 0;
  for (size_t end = 1; end <= n; ++end) {
    std::ranges::copy(penalties, sum.begin());
    for (size_t begin = end; begin-- > 0;) {
      for (size_t c = 0; c < candidates; ++c) sum[c] += columns[begin].loss[c];
      const auto best = std::ranges::min_element(sum);
      if (cost[begin] + *best < cost[end]) {
        cost[end] = cost[begin] + *best;
        from[end] = begin;
        candidate[end] = static_cast<size_t>(best - sum.begin());
      }
    }
  }
  Segmentation result{.cost = cost[n], .segments = {}};
  for (size_t end = n; end > 0; end = from[end]) result.segments.push_back({from[end], end, candidate[end]});
  std::ranges::reverse(result.segments);
  return result;
}

}  // namespace metallic::tune
