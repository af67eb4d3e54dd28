// SPDX-License-Identifier: Apache-2.0
// Lists the members of a shape that differ from the contiguous shape; recorded problems print them after their label.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace metallic {

class Unusual {
 public:
  template <typename T>
  void add(std::string_view name, const T& is, const T& usual) {
    if (is != usual) append(fmt::format("{}={}", name, is));
  }
  void append(std::string_view item) { text_ += fmt::format("{}{}", text_.empty() ? "" : " ", item); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace metallic
