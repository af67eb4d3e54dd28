// The built-in rules: the tuning guide's thresholds in the form that every other level uses too.
#pragma once

#include <cstdint>
#include <vector>

#include "device/info.h"
#include "base/dtype.h"
#include "profile/rule.h"

namespace metallic {

/// The guide's constants, where the device has no better.
struct Thresholds {
  /// On a GPU `vec` beats `block` as long as a row fits the registers of a cluster, or, before Hopper, of a block: on an H200
  /// with bf16 and f32 alike. GEMV without the copy engine reads X again for each few rows of weights, and `gemm` shares K of a
  /// tile as well: of 1222 shapes that an H100's tune timed in either type, the most columns for which `gemv` wins on average.
  Thresholds(const DeviceInfo& device, DType dtype)
      : softmax_vec_block(device.is_cpu() ? 1024 : 262144),
        smalln_max_n(device.is_cpu() ? 16
                     : dtype == DType::f32  ? 7
                                            : 5),
        smalln_across_max_n(device.is_cpu() ? 16
                            : dtype == DType::f32  ? 4
                                                   : 0) {}

  int64_t softmax_vec_block;    ///< vec up to this seq_k, block beyond
  int64_t smalln_max_n;         ///< gemv up to this min(M, N) …
  int64_t smalln_across_max_n;  ///< … and this where rows of weights do not lie along K
  int64_t smalln_most_n = 16;   ///< … and this by the copy engine, where there is one, or of few rows of weights with long K
  int64_t simd_m_min = 64;      ///< packed GEMM from this max(M, N) …
  int64_t simd_n_min = 16;      ///< … and this min(M, N) on
};

/// The rules of a key's operation, type and layout on a device. Their tunings are the variants' own preference, but for
/// `pack`, which the guide decides. Where the device has instructions for a type, variants that use them come first.
std::vector<Rule> default_rules(const RuleKey& key, const Thresholds& thresholds, const DeviceInfo& device);

}  // namespace metallic
