// What every sdpa variant promises.
//
// out[b,h,i] = Σ_j p_j·V[b,g,j], p = softmax(scale·Q[b,h,i]·K[b,g]ᵀ) over the visible keys j, those j ≤ i + offset under a
// causal mask and all otherwise, g = h / (heads / kv_heads). A query that sees no key gives zeros. Scores and sums are f32
// whatever the storage; the weights p may be rounded to the inputs' type before they meet V, as engines do. With
// s = scale·Σ|q||k|, D = head_dim, n visible keys and u, v the roundoffs of f32 and of the inputs' type, an element is within
// (exp(2·(2·γ_D + 4u)·max s) − 1 + (2n + 64)·u + [16 bit: 2v])·Σ p|V| of the exact value, and then rounded once to the output's
// type. Denormal bf16 inputs may count as 0. NaN propagates to the rows that see it; a
// NaN or infinity in V at a key that only other queries of the call see may reach a row too (0·NaN), one at a key that no
// query sees does not. Source: Vaswani et al. 2017; grouped queries: Ainslie et al. 2023.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/problem.h"

namespace metallic::sdpa {

/// How many keys query `i` sees: the first that many.
inline int64_t visible_keys(const SdpaShape& shape, int64_t i) {
  return metallic::visible_keys(i, shape.seq_q, shape.seq_k, shape.causal, shape.offset);
}

/// Where element 0 of a row of head `head` of matrix `batch` is, in elements.
inline int64_t row_at(const HeadStrides& strides, int64_t batch, int64_t head, int64_t row) {
  return batch * strides.batch + head * strides.head + row * strides.row;
}

/// Multiply-adds in a nanosecond on one thread, in cache (Zen 4 at 2.6 GHz, f32).
inline constexpr double kPerNs = 50;

}  // namespace metallic::sdpa
