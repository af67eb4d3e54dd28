// SPDX-License-Identifier: Apache-2.0
// Selection: chooses how detailed the rules are, and whether they replace the existing ones, by cross-validated regret.
#pragma once

#include <span>
#include <vector>

#include "tuner/fit/tree.h"

namespace metallic::tune {

/// What rules choose for a series: the config of the first rule that matches and whose config was timed there. If no rule does,
/// the built-in choice.
struct RuleChoice {
  KernelConfig config;
  int rule = -1;  ///< index of the rule; −1: built-in
};
RuleChoice choose(const std::vector<Rule>& rules, const Series& series, const Defaults& defaults);

struct SelectedRules {
  std::vector<Leaf> leaves;  ///< empty if existing rules stay
  std::vector<Rule> rules;
  double penalty = 0;                  ///< what each further rule had to save, a fraction of the weight
  std::vector<KernelConfig> held_out;  ///< for each point, the choice of rules made without its shape
  bool kept_incumbent = false;         ///< earlier rules stay, because the new ones are not surely better
};

/// Fits rules of several degrees of detail to the even blocks and scores them on the odd ones, and the other way round. Takes the
/// least detailed degree that is within one standard error and within 0.05 % of the best. The built-in rules stay unless the gain
/// over them is significant at 5 %, one-sided; earlier rules stay unless the gain is also above 0.1 %.
SelectedRules select_rules(std::span<const FitPoint> points, const ModelAxes& axes, const Candidates& candidates,
                           const std::vector<Rule>& incumbent, uint64_t seed);

}  // namespace metallic::tune
