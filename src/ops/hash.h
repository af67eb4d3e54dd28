// SPDX-License-Identifier: Apache-2.0
// A hash of a few numbers that costs one multiplication per number.
#pragma once

#include <bit>
#include <cstdint>

namespace metallic {

/// Sums the values, each multiplied by its own odd number. Unlike rounds of mixing, the products do not wait for one another.
template <typename... Values>
uint64_t hash_of(Values... values) {
  uint64_t factor = 0x9e3779b97f4a7c15u, sum = 0;
  ((sum += static_cast<uint64_t>(values) * factor, factor = std::rotl(factor, 23) | 1), ...);
  sum ^= sum >> 32;
  return sum * 0xd6e8feb86659fd93u;
}

}  // namespace metallic
