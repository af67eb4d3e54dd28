// SPDX-License-Identifier: Apache-2.0
// Parses problem lists: a label, a weight and an element type a line.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "ops/label.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic {

Result<std::vector<WeightedProblem>> parse_problem_list(std::string_view text, std::string_view where) {
  constexpr size_t kMostProblems = 10'000;
  std::vector<WeightedProblem> problems;
  text = without_byte_order_mark(text);
  for (size_t line = 1; !text.empty(); ++line) {
    std::string_view rest = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), rest.size() + 1));
    rest = rest.substr(0, rest.find('#'));
    const auto word = [&rest] {
      rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(" \t\r")));
      const std::string_view found = rest.substr(0, rest.find_first_of(" \t\r"));
      rest.remove_prefix(found.size());
      return found;
    };
    const std::string_view label_text = word(), weight_text = word(), dtype_text = word(), extra = word();
    if (label_text.empty()) continue;
    const auto parsed = parse_labels(label_text);
    if (!parsed) return fail(parsed.error().code, "{} line {}: {}", where, line, parsed.error().message);
    double weight = 1;
    if (!weight_text.empty()) {
      const auto [stop, status] = std::from_chars(weight_text.data(), weight_text.data() + weight_text.size(), weight);
      if (status != std::errc() || stop != weight_text.data() + weight_text.size() || !(weight > 0) || !std::isfinite(weight))
        return fail(Code::invalid_argument, "{} line {}: weight {} is not a number above 0", where, line, in_quotes(weight_text));
    }
    if (!extra.empty())
      return fail(Code::invalid_argument, "{} line {}: {} after label, weight and type: comments begin with #", where, line,
                  in_quotes(extra));
    const auto dtype = parse_dtype(dtype_text);
    if (!dtype_text.empty() && !dtype)
      return fail(Code::invalid_argument, "{} line {}: type {}: use {}", where, line, in_quotes(dtype_text), kDTypeNames);
    if (problems.size() + parsed->size() > kMostProblems)
      return fail(Code::invalid_argument, "{} line {}: over {} problems", where, line, kMostProblems);
    for (const Problem& problem : *parsed)
      problems.push_back(
          {.problem = with_dtype(problem, dtype.value_or(DType::f32)), .weight = weight, .typed = dtype.has_value()});
  }
  if (problems.empty())
    return fail(Code::invalid_argument, "{}: it has no problems: write one label a line, e.g. rows64_seqk512", where);
  return problems;
}

}  // namespace metallic
