// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention.
#pragma once

#include <cstdint>
#include <optional>

#include "ops/problem.h"

namespace metallic {

extern const Operation sdpa_operation;

/// Positions of the elements of a tensor [batch, heads, rows, head_dim]: elements from one to the next; head_dim is contiguous.
struct HeadStrides {
  int64_t batch = 0;
  int64_t head = 0;
  int64_t row = 0;
  bool operator==(const HeadStrides&) const = default;
};

/// out[b,h] = softmax(scale·Q[b,h]·K[b,g]ᵀ)·V[b,g] with g = h / (heads / kv_heads):
/// Q and out [batch, heads, seq_q, head_dim], K and V [batch, kv_heads, seq_k, head_dim].
/// Axes: heads = batch·heads.
struct SdpaShape {
  static const Operation& operation() { return sdpa_operation; }

  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 1;  ///< divides heads; fewer than heads is grouped-query attention
  int64_t seq_q = 0;
  int64_t seq_k = 0;
  int64_t head_dim = 0;
  bool causal = false;
  int64_t offset = 0;  ///< key j is visible to query i iff j ≤ i + offset
  float scale = 1;     ///< finite and > 0; sdpa_problem sets the usual 1/√head_dim
  HeadStrides q, k, v, out;

  int64_t group() const { return kv_heads == 0 ? 0 : heads / kv_heads; }
  bool contiguous() const;
  bool operator==(const SdpaShape&) const = default;
};

inline const Op kSdpa(sdpa_operation);

/// A contiguous problem; set strides afterwards if they differ.
Problem sdpa_problem(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim);

/// Adds the causal mask with this offset, or with the usual one, seq_k − seq_q.
void make_causal(SdpaShape& sdpa, std::optional<int64_t> offset = std::nullopt);

}  // namespace metallic
