// SPDX-License-Identifier: Apache-2.0
// The contract of every sdpa variant.
//
// out[b,h,i] = Σ_j p_j·V[b,g,j], p = softmax(scale·Q[b,h,i]·K[b,g]ᵀ) over the visible keys j, g = h / (heads / kv_heads). Under a
// causal mask these are the keys j ≤ i + offset, otherwise all. A query that sees no key gives zeros. Scores and sums are f32 for
// every storage type. The weights p may be rounded to the type of the inputs before they are multiplied by V, as engines do.
// With s = scale·Σ|q||k|, D = head_dim, n visible keys and u, v the roundoffs of f32 and of the inputs' type, an element is
// within (exp(2·(2·γ_D + 4u)·max s) − 1 + (2n + 64)·u + [16 bit: 2v])·Σ p|V| of the exact value, and then rounded once to the
// output's type. Denormal bf16 inputs may count as 0. NaN propagates to the rows that see it. A NaN or infinity in V may also
// reach rows that do not see its key (0·NaN), unless no query of the call sees it. Source: Vaswani et al. 2017; grouped queries:
// Ainslie et al. 2023.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/mask.h"
#include "ops/problem.h"
#include "ops/sdpa/shape.h"

namespace metallic::sdpa {

/// The number of keys that query `i` sees; they are the first ones.
inline int64_t visible_keys(const SdpaShape& shape, int64_t i) {
  return metallic::visible_keys(i, shape.seq_q, shape.seq_k, shape.causal, shape.offset);
}

/// The offset of a row of head `head` of batch `batch`, in elements.
inline int64_t row_at(const HeadStrides& strides, int64_t batch, int64_t head, int64_t row) {
  return batch * strides.batch + head * strides.head + row * strides.row;
}

/// Multiply-adds per nanosecond on one thread, in cache (Zen 4 at 2.6 GHz, f32).
inline constexpr double kPerNs = 50;

}  // namespace metallic::sdpa
