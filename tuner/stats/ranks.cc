// SPDX-License-Identifier: Apache-2.0
#include "tuner/stats/ranks.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace metallic::tune {

std::vector<int64_t> doubled_ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, std::less(), [&](size_t i) { return values[i]; });
  std::vector<int64_t> ranks(values.size());
  for (size_t begin = 0, end; begin < order.size(); begin = end) {
    for (end = begin + 1; end < order.size() && values[order[end]] == values[order[begin]];) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<int64_t>(begin + end + 1);
  }
  return ranks;
}

}  // namespace metallic::tune
