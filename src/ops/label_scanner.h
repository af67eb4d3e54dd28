// SPDX-License-Identifier: Apache-2.0
// Scans a label once, from left to right. An operation's scan_label scans its labels.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/problem.h"

namespace metallic {

/// A label before its ranges are expanded: the values of each number, and a function that makes a problem from one value of each.
struct LabelPattern {
  std::vector<std::vector<int64_t>> numbers;
  std::function<Problem(const std::vector<int64_t>&)> make;
};

class LabelScanner {
 public:
  explicit LabelScanner(std::string_view text) : text_(text) {}

  /// Skips a word if it comes next.
  bool accept(std::string_view word);

  /// Skips a word if it comes next and a digit, a sign or a point follows, such as `_offset4`.
  bool accept_before_number(std::string_view word);

  Status expect(std::string_view word);
  Result<int64_t> integer(bool negative_allowed = false);
  Result<float> real();

  /// A number, or a range of numbers in the command line's notation: `64..8192`, `64..8192:64`, `64+96+128`.
  Result<std::vector<int64_t>> integers();

  bool at_end() const { return at_ == text_.size(); }

  /// Names the label, the column (from 1) and what was expected there, with examples of labels.
  tl::unexpected<Error> error(std::string_view expectation) const;

 private:
  std::string_view text_;
  size_t at_ = 0;
};

/// The maximum number of problems that one label may name.
inline constexpr size_t kMostLabelProblems = 10'000;

}  // namespace metallic
