// SPDX-License-Identifier: Apache-2.0
#include "ops/tuning.h"

#include <fmt/format.h>

namespace metallic {

std::string to_string(const Tuning& tuning) {
  std::string text;
  for (const auto& item : tuning.items)
    if (!item.name.empty()) text += fmt::format("{}{}={}", text.empty() ? "" : ";", item.name, item.value);
  return text;
}

}  // namespace metallic
