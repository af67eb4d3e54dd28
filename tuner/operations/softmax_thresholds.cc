// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <span>

#include "tuner/operations/thresholds.h"

namespace metallic::tune {

std::vector<Threshold> softmax_thresholds(const std::vector<FitPoint>& points, const std::vector<Leaf>& leaves,
                                          const Candidates& candidates, const AnalysisOptions& options) {
  const Problem& first = points.front().series->problem;
  const ThresholdMaker maker(first, options);
  const int64_t built_in = options.default_threshold(first.op(), "softmax_vec_block", first.dtype);
  const Allowed vec = [](const KernelConfig& c) { return family(c.variant) == "vec"; };
  const Allowed not_vec = [](const KernelConfig& c) { return family(c.variant) != "vec"; };
  std::vector<Threshold> found;
  const auto add = [&](const std::vector<FitPoint>& of_part, const std::vector<Range>& within, std::optional<int64_t> ruled,
                       bool stays) {
    const FamilyLosses losses(of_part, vec, not_vec);
    found.push_back(maker.make("softmax_vec_block", to_string(std::span(within)), least_cost(losses), ruled, stays, built_in));
    add_regret(found.back(), losses);
  };
  for (const Leaf& leaf : leaves) {
    const bool stays = std::ranges::all_of(leaf.segments, [](const AxisSegment& s) { return s.candidate == 0; });
    add(leaf.points, leaf.within, only_border(leaf, candidates, vec, built_in), stays);
  }
  if (leaves.empty()) add(points, {}, std::nullopt, true);
  return found;
}

}  // namespace metallic::tune
