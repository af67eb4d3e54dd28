// SPDX-License-Identifier: Apache-2.0
// Fuzzes problem lists: accepted lists are valid, bounded, and survive a round trip.
#include "ops/label.h"
#include "property.h"
#include "tuner/workloads/weighted_problems.h"

using namespace metallic;

void run(std::string_view text) {
  const auto problems = parse_problem_list(text, "input");
  if (!problems) return ONE_LINE(problems);
  PROPERTY(!problems->empty() && problems->size() <= 10'000);
  std::string list;
  for (const WeightedProblem& each : *problems) {
    PROPERTY(validate(each.problem).has_value());
    PROPERTY(each.weight > 0);
    list += fmt::format("{} {} {}\n", label(each.problem), each.weight, each.typed ? name(each.problem.dtype) : "");
  }
  if (problems->size() > 100) return;  // a range may have thousands
  const auto again = parse_problem_list(list, "again");
  PROPERTY(again.has_value());
  PROPERTY(again->size() == problems->size());
  for (size_t i = 0; i < problems->size(); ++i)
    PROPERTY((*again)[i].problem == (*problems)[i].problem && (*again)[i].weight == (*problems)[i].weight);
}
