// Selection: how detailed rules may be, and whether they may replace what is there, by their regret on samples that they have not
// seen.
#pragma once

#include <span>
#include <vector>

#include "tuner/fit/tree.h"

namespace metallic::tune {

/// The choice that rules make for a series: of the first rule that matches and whose candidate was timed there, the fastest of
/// its tunings where it names none; the built-in one where no rule does. `rule` is its index, or -1.
struct Chosen {
  Choice choice;
  int rule = -1;
};
Chosen choose(const std::vector<Rule>& rules, const Series& series, const Defaults& defaults);

struct Selected {
  std::vector<Leaf> leaves;  ///< empty where the incumbent stays
  std::vector<Rule> rules;
  double penalty = 0;            ///< what each further rule had to save, a fraction of the weight
  std::vector<Choice> held_out;  ///< for each point, what rules made without its shape would choose
  bool kept_incumbent = false;   ///< whether earlier rules stay, since the new ones are not surely better
};

/// Fits rules of several degrees of detail to the even blocks, scores them on the odd ones, and the other way round, and takes
/// the least detailed degree within one standard error of the best, and within 0.2 %. The built-in rules stay unless the gain
/// over them exceeds 1.645 standard errors, earlier rules unless it is 0.1 % too: ties keep what is there.
Selected select_rules(std::span<const Point> points, const Axes& axes, const Candidates& candidates,
                      const std::vector<Rule>& incumbent, uint64_t seed);

}  // namespace metallic::tune
