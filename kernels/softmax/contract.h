// What every softmax variant promises, and what all of them share.
//
// Row i of the output is exp(x − max) / Σ exp(x − max) over the visible keys, those j ≤ (i mod seq_q) + offset under a
// causal mask and all otherwise; masked keys give 0, a row without a visible key gives zeros. An unmasked row of −∞, or
// one with a NaN or +∞ among its visible keys, gives NaN in all visible places (as torch.softmax). Input and output
// may be the same memory with equal strides. Source of the crossover: the tuning guide.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/problem.h"

namespace metallic::softmax {

/// How many keys row `row` of all rows sees: the first that many.
inline int64_t visible_keys(const SoftmaxShape& shape, int64_t row) {
  if (!shape.causal) return shape.seq_k;
  // Clamped before the sum: an offset may be as large as a label allows.
  const int64_t offset = std::clamp(shape.offset, -shape.seq_q - 1, shape.seq_k);
  return std::clamp<int64_t>(row % shape.seq_q + offset + 1, 0, shape.seq_k);
}

/// Elements that make a task worth a thread: about 5 µs of work, the price of waking one.
inline constexpr double kGrain = 8192;

}  // namespace metallic::softmax
