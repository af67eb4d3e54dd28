// SPDX-License-Identifier: Apache-2.0
#include "ops/variant.h"

#include <fmt/format.h>

namespace metallic {

std::string to_string(const Variant& variant, const Tuning& tuning) {
  const std::string point = to_string(tuning);
  return point.empty() ? std::string(variant.name) : fmt::format("{}@{}", variant.name, point);
}

std::optional<Tuning> find_tuning(const Variant& variant, std::string_view text) {
  for (const Tuning& tuning : variant.tunings)
    if (to_string(tuning) == text) return tuning;
  return std::nullopt;
}

}  // namespace metallic
