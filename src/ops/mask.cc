// SPDX-License-Identifier: Apache-2.0
#include "ops/mask.h"

#include <fmt/format.h>

#include <algorithm>

namespace metallic {

int64_t visible_keys(int64_t row, int64_t seq_q, int64_t seq_k, bool causal, int64_t offset) {
  if (!causal) return seq_k;
  // Clamped before the sum: an offset may be as large as a label allows.
  return std::clamp<int64_t>(row + std::clamp(offset, -seq_q - 1, seq_k) + 1, 0, seq_k);
}

double visible_pairs(int64_t seq_q, int64_t seq_k, bool causal, int64_t offset) {
  const auto q = static_cast<double>(seq_q), k = static_cast<double>(seq_k);
  if (!causal) return q * k;
  // Query i sees i + 1 + offset keys, between 0 and seq_k: the sum of a ramp between its two ends.
  const auto first = static_cast<double>(std::clamp(offset, -seq_q - 1, seq_k));
  const double none = std::clamp(-first, 0.0, q), all = std::clamp(k - first, none, q);
  const double ramp = all - none;
  return ramp * (none + 1 + first) + ramp * (ramp - 1) / 2 + (q - all) * k;
}

Result<Mask> scan_mask(LabelScanner& scanner) {
  Mask mask{.causal = scanner.accept("_causal")};
  if (mask.causal && scanner.accept_before_number("_offset")) {
    METALLIC_TRY(mask.offset, scanner.integer(/*negative_allowed=*/true));
  }
  return mask;
}

std::string mask_label(bool causal, int64_t offset, int64_t seq_q, int64_t seq_k) {
  if (!causal) return "";
  return offset == seq_k - seq_q ? "_causal" : fmt::format("_causal_offset{}", offset);
}

}  // namespace metallic
