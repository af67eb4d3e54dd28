// SPDX-License-Identifier: Apache-2.0
#include "ops/registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "ops/operation.h"

namespace metallic {

std::span<const Operation* const> operation_table();  // generated

std::span<const Op> operations() {
  static const std::vector<Op> sorted = [] {
    std::vector<Op> all;
    for (const Operation* operation : operation_table()) all.emplace_back(*operation);
    std::ranges::sort(all);
    return all;
  }();
  return sorted;
}

Result<Op> parse_op(std::string_view text) {
  std::string names;
  const auto all = operations();
  for (size_t i = 0; i < all.size(); ++i) {
    if (text == name(all[i])) return all[i];
    names += fmt::format("{}{}", i == 0 ? "" : i + 1 == all.size() ? " or " : ", ", name(all[i]));
  }
  return fail(Code::invalid_argument, "unknown operation {}: use {}", in_quotes(text), names);
}

std::span<const Variant> variants(Op op) { return op->variants(); }

const Variant* find_variant(Op op, std::string_view name) {
  for (const Variant& variant : variants(op))
    if (variant.name == name) return &variant;
  return nullptr;
}

bool calls_library(std::string_view name) {
  return std::ranges::any_of(operations(), [&](Op op) {
    const Variant* variant = find_variant(op, name);
    return variant && !variant->library().empty();
  });
}

}  // namespace metallic
