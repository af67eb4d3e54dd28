// SPDX-License-Identifier: Apache-2.0
#include "ops/label.h"

#include "ops/label_scanner.h"
#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

// The operation that a text is meant as a label of.
Op owner(std::string_view text) {
  Op others;
  for (const Op op : operations()) {
    if (!op->owns_label)
      others = op;
    else if (op->owns_label(text))
      return op;
  }
  return others;
}

}  // namespace

std::string label(const Problem& problem) { return problem.op()->label(problem); }

Result<std::vector<Problem>> parse_labels(std::string_view text) {
  LabelScanner scanner(text);
  METALLIC_TRY(const LabelPattern pattern, owner(text)->scan_label(scanner));
  if (!scanner.at_end()) return scanner.error("unexpected text");

  size_t count = 1;
  for (const auto& values : pattern.numbers) {
    count *= values.size();
    if (count > kMostLabelProblems)
      return fail(Code::invalid_argument, "label {} names over {} problems: use smaller ranges", in_quotes(text),
                  kMostLabelProblems);
  }
  std::vector<Problem> problems;
  problems.reserve(count);
  std::vector<int64_t> values(pattern.numbers.size());
  for (size_t i = 0; i < count; ++i) {
    size_t rest = i;
    for (size_t axis = values.size(); axis-- > 0; rest /= pattern.numbers[axis].size())
      values[axis] = pattern.numbers[axis][rest % pattern.numbers[axis].size()];
    problems.push_back(pattern.make(values));
    if (Status valid = validate(problems.back()); !valid)
      return fail(valid.error().code, "label {}: {}", in_quotes(text), valid.error().message);
  }
  return problems;
}

Result<Problem> parse_label(std::string_view text) {
  METALLIC_TRY(const auto problems, parse_labels(text));
  if (problems.size() != 1)
    return fail(Code::invalid_argument, "label {} names {} problems where one is wanted: leave out the range", in_quotes(text),
                problems.size());
  return problems.front();
}

}  // namespace metallic
