// SPDX-License-Identifier: Apache-2.0
#include "ops/rule.h"

#include <fmt/format.h>

#include <algorithm>

namespace metallic {

bool matches(const Rule& rule, const Problem& problem) {
  return std::ranges::all_of(rule.when, [&](const Range& range) {
    const auto at = value(problem, range.axis);
    return at && (!range.low || *at >= *range.low) && (!range.high || *at <= *range.high);
  });
}

std::string to_string(std::span<const Range> ranges) {
  std::string text;
  for (const Range& range : ranges) {
    if (!text.empty()) text += " and ";
    text += name(range.axis);
    if (range.low && range.high)
      text += *range.low == *range.high ? fmt::format(" = {}", *range.low) : fmt::format(" {}..{}", *range.low, *range.high);
    else if (range.high)
      text += fmt::format(" ≤ {}", *range.high);
    else if (range.low)
      text += fmt::format(" ≥ {}", *range.low);
  }
  return text;
}

std::string to_string(const Rule& rule) {
  return fmt::format("{}: {}{}{}", rule.when.empty() ? "otherwise" : to_string(std::span(rule.when)), rule.use,
                     rule.tuning.empty() ? "" : "@", rule.tuning);
}

std::string_view name(Numerics numerics) {
  switch (numerics) {
    case Numerics::fast: return "fast";
    case Numerics::run_to_run: return "run_to_run";
    case Numerics::batch_invariant: return "batch_invariant";
  }
  return "unknown";
}

std::optional<Numerics> parse_numerics(std::string_view text) {
  for (const Numerics numerics : {Numerics::fast, Numerics::run_to_run, Numerics::batch_invariant})
    if (text == name(numerics)) return numerics;
  return std::nullopt;
}

RuleKey rule_key(const Problem& problem, Numerics numerics) {
  return {
      .op = problem.op(), .dtype = problem.dtype, .threads = problem.threads, .numerics = numerics, .layout = layout(problem)};
}

}  // namespace metallic
