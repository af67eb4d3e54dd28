// SPDX-License-Identifier: Apache-2.0
#include "ops/label_scanner.h"

#include <fmt/format.h>

#include <charconv>

#include "ops/operation.h"
#include "ops/registry.h"

namespace metallic {
namespace {

constexpr int64_t kLargest = int64_t{1} << 48;  // more elements than any machine holds; keeps products of two far from overflow

}  // namespace

bool LabelScanner::accept(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return false;
  at_ += word.size();
  return true;
}

bool LabelScanner::accept_before_number(std::string_view word) {
  const size_t next = at_ + word.size();
  if (text_.substr(at_, word.size()) != word || next >= text_.size()) return false;
  const char c = text_[next];
  if (!((c >= '0' && c <= '9') || c == '-' || c == '.')) return false;
  at_ = next;
  return true;
}

Status LabelScanner::expect(std::string_view word) {
  if (accept(word)) return {};
  return error(fmt::format("expected {}", in_quotes(word)));
}

Result<int64_t> LabelScanner::integer(bool negative_allowed) {
  int64_t value = 0;
  const char* begin = text_.data() + at_;
  const char* end = text_.data() + text_.size();
  const auto [stop, status] = std::from_chars(begin, end, value);
  if (status == std::errc::result_out_of_range || value > kLargest || value < -kLargest)
    return error(fmt::format("number too large, at most {} allowed", kLargest));
  if (status != std::errc() || (value < 0 && !negative_allowed))
    return error(negative_allowed ? "expected an integer" : "expected a number ≥ 0");
  at_ += static_cast<size_t>(stop - begin);
  return value;
}

Result<float> LabelScanner::real() {
  float value = 0;
  const char* begin = text_.data() + at_;
  const auto [stop, status] = std::from_chars(begin, text_.data() + text_.size(), value);
  if (status != std::errc() || !(value - value == 0)) return error("expected a finite number");
  at_ += static_cast<size_t>(stop - begin);
  return value;
}

Result<std::vector<int64_t>> LabelScanner::integers() {
  METALLIC_TRY(const int64_t first, integer());
  std::vector<int64_t> values = {first};
  if (accept("..")) {
    METALLIC_TRY(const int64_t last, integer());
    int64_t step = 0;
    if (accept(":")) {
      METALLIC_TRY(step, integer());
      if (step == 0) return error("a range needs a step ≥ 1");
    }
    if (last < first) return error("a range must not fall");
    if (step == 0 && first == 0) return error("a range of powers of two must start at 1 or more");
    for (int64_t value = first; (value = step ? value + step : value * 2) <= last;) {
      values.push_back(value);
      if (values.size() > kMostLabelProblems) return error(fmt::format("a range may have {} values at most", kMostLabelProblems));
    }
  } else {
    while (accept("+")) {
      METALLIC_TRY(const int64_t value, integer());
      values.push_back(value);
    }
  }
  return values;
}

tl::unexpected<Error> LabelScanner::error(std::string_view expectation) const {
  std::string examples;
  for (const Op op : operations()) examples += fmt::format("{}{}", examples.empty() ? "" : ", ", op->label_examples);
  return fail(Code::invalid_argument, "label {} column {}: {} (labels: {})", in_quotes(text_), at_ + 1, expectation, examples);
}

}  // namespace metallic
