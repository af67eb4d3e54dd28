// SPDX-License-Identifier: Apache-2.0
// The causal mask of softmax and sdpa: key j is visible to query i iff j ≤ i + offset.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ops/label_scanner.h"

namespace metallic {

/// How many keys query `row` sees under a causal mask: always the first ones.
int64_t visible_keys(int64_t row, int64_t seq_q, int64_t seq_k, bool causal, int64_t offset);

/// The number of visible (query, key) pairs of one head.
double visible_pairs(int64_t seq_q, int64_t seq_k, bool causal, int64_t offset);

/// The end of a label: `[_causal][_offset{O}]`.
struct Mask {
  bool causal = false;
  std::optional<int64_t> offset;
};
Result<Mask> scan_mask(LabelScanner& scanner);
std::string mask_label(bool causal, int64_t offset, int64_t seq_q, int64_t seq_k);

}  // namespace metallic
