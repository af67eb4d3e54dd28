// SPDX-License-Identifier: Apache-2.0
// The key of a C problem: the members that count for its operation, as words that are quick to hash and to compare.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "metallic/metallic.h"
#include "ops/hash.h"

namespace metallic {

/// Problems with equal keys are the same. Those that differ only in spelling, such as a stride of 0 and the contiguous one, have
/// different keys.
class CKey {
 public:
  CKey() = default;

  /// `members`: those of the operation, integers and floats.
  template <typename... Members>
  explicit CKey(const metallic_problem& problem, Members... members)
      : CKey(Words(), pair(stored(problem.op), stored(problem.dtype)), uint64_t{stored(problem.out_dtype)}, problem.given,
             word(members)...) {}

  uint64_t hash() const { return hash_; }

  bool operator==(const CKey& other) const {
    return count_ == other.count_ && std::equal(words_.begin(), words_.begin() + count_, other.words_.begin());
  }

 private:
  static constexpr size_t kMost = 24;

  static uint64_t pair(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }
  // An enumerator may be any number, which C++ must not read as the enum.
  template <typename Enum>
  static uint32_t stored(const Enum& value) {
    uint32_t number = 0;
    static_assert(sizeof(Enum) == sizeof(number));
    std::memcpy(&number, &value, sizeof(number));
    return number;
  }
  template <typename Member>
  static uint64_t word(Member member) {
    if constexpr (std::is_same_v<Member, float>)
      return std::bit_cast<uint32_t>(member);
    else
      return static_cast<uint64_t>(member);
  }

  struct Words {};
  template <typename... Each>
  CKey(Words, Each... words) : hash_(hash_of(words...)), count_(sizeof...(words)) {
    static_assert(sizeof...(words) <= kMost);
    uint64_t* at = words_.data();
    ((*at++ = words), ...);
  }

  uint64_t hash_ = 0;
  size_t count_ = 0;
  std::array<uint64_t, kMost> words_;  // beyond count_ not initialised
};

}  // namespace metallic
