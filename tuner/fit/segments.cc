// SPDX-License-Identifier: Apache-2.0
#include "tuner/fit/segments.h"

#include <algorithm>
#include <limits>

namespace metallic::tune {

// cost[i] is the least cost of the first i columns. run[c] is the least cost of the columns so far if the last segment is of
// candidate c, and begin[c] is where that segment begins. At each column a candidate either continues its segment or begins a new
// one, so a column takes as many steps as there are candidates.
Segmentation fit_segments(std::span<const LossColumn> columns, std::span<const double> penalties) {
  if (columns.empty()) return {};
  constexpr double kNone = std::numeric_limits<double>::infinity();
  const size_t n = columns.size(), candidates = columns.front().loss.size();
  std::vector<double> cost(n + 1, kNone), run(candidates, kNone);
  std::vector<size_t> from(n + 1, 0), candidate(n + 1, 0), begin(candidates, 0);
  cost[0] = 0;
  for (size_t end = 1; end <= n; ++end) {
    for (size_t c = 0; c < candidates; ++c) {
      if (const double anew = cost[end - 1] + penalties[c]; anew < run[c]) run[c] = anew, begin[c] = end - 1;
      run[c] += columns[end - 1].loss[c];
      if (run[c] < cost[end]) cost[end] = run[c], from[end] = begin[c], candidate[end] = c;
    }
  }
  Segmentation result{.cost = cost[n], .segments = {}};
  for (size_t end = n; end > 0; end = from[end]) result.segments.push_back({from[end], end, candidate[end]});
  std::ranges::reverse(result.segments);
  return result;
}

}  // namespace metallic::tune
