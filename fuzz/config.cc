// SPDX-License-Identifier: Apache-2.0
// Fuzzes config.json: the problems of an accepted model are valid, distinct, bounded, and readable as a list.
#include <cmath>
#include <set>

#include "ops/label.h"
#include "ops/sdpa/shape.h"
#include "property.h"
#include "tuner/workloads/weighted_problems.h"

using namespace metallic;

void run(std::string_view text) {
  const auto model = parse_model(text, "model", "input");
  if (!model) return ONE_LINE(model);
  const auto problems = model_problems(*model);
  PROPERTY(!problems.empty() && problems.size() <= 400);
  std::set<std::string> labels;
  std::string list;
  for (const WeightedProblem& each : problems) {
    PROPERTY(validate(each.problem).has_value());
    PROPERTY(std::isfinite(each.weight) && each.weight > 0);
    for (const int64_t bytes : operand_bytes(each.problem)) PROPERTY(bytes > 0 || each.problem.op() != kSdpa);
    for (const int64_t bytes : operand_bytes(each.problem)) PROPERTY(bytes <= int64_t{256} << 20);
    PROPERTY(labels.insert(label(each.problem)).second);
    list += fmt::format("{} {} # {}\n", label(each.problem), each.weight, each.role);
  }
  const auto again = parse_problem_list(list, "again");
  PROPERTY(again.has_value());
  PROPERTY(again->size() == problems.size());
  for (size_t i = 0; i < problems.size(); ++i)
    PROPERTY((*again)[i].problem == problems[i].problem && (*again)[i].weight == problems[i].weight);
}
