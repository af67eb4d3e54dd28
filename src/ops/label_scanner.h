// SPDX-License-Identifier: Apache-2.0
// Scans a label once, from left to right; an operation's labels are scanned by its scan_label.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/problem.h"

namespace metallic {

/// A label's problems before its ranges are multiplied out: the values of each number, and the problem of one value for each.
struct LabelPattern {
  std::vector<std::vector<int64_t>> numbers;
  std::function<Problem(const std::vector<int64_t>&)> make;
};

class LabelScanner {
 public:
  explicit LabelScanner(std::string_view text) : text_(text) {}

  /// Steps over a word if it comes next.
  bool accept(std::string_view word);

  /// Steps over a word that a digit, a sign or a point follows, such as `_offset4`.
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

/// The most problems that one label may name.
inline constexpr size_t kMostLabelProblems = 10'000;

}  // namespace metallic
