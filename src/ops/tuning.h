// SPDX-License-Identifier: Apache-2.0
// A tuning point: up to eight named integers that select one instance of a variant.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace metallic {

struct Tuning {
  static constexpr int kMost = 8;
  struct Item {
    std::string_view name;  ///< static storage: each variant's file defines its tuning points
    int64_t value = 0;
    bool operator==(const Item&) const = default;
  };
  std::array<Item, kMost> items{};  ///< sorted by name; unused ones have an empty name

  /// The value of a name that the point should have; 0 if it does not.
  constexpr int64_t operator[](std::string_view name) const {
    for (const Item& item : items)
      if (item.name == name) return item.value;
    return 0;
  }
  bool operator==(const Tuning&) const = default;
};

/// `k=v;k=v`, sorted by name; empty if there is nothing to tune.
std::string to_string(const Tuning& tuning);

}  // namespace metallic
