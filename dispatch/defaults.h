// The built-in rules: the tuning guide's thresholds in the form that every other level uses too.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device.h"
#include "core/rule.h"

namespace metallic {

/// The guide's constants.
struct Thresholds {
  int64_t softmax_vec_block = 1024;  ///< vec up to this seq_k, block beyond
  int64_t smalln_max_n = 16;         ///< gemv up to this min(M, N)
  int64_t simd_m_min = 64;           ///< packed GEMM from this max(M, N) …
  int64_t simd_n_min = 16;           ///< … and this min(M, N) on
};

/// The rules of a key's operation, type and layout on a device. Their tunings are the variants' own preference, but for
/// `pack`, which the guide decides. Where the device has instructions for a type, variants that use them come first.
std::vector<Rule> default_rules(const RuleKey& key, const Thresholds& thresholds, const DeviceFacts& facts);

}  // namespace metallic
