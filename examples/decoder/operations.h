// SPDX-License-Identifier: Apache-2.0
// The two operations in which a decoder spends its time, to be had in two ways: as loops and as Metallic's plans.
#pragma once

#include <memory>

#include "model.h"

/// Queries [batch, seq_q, heads, head_dim], the last seq_q tokens of a cache [batch, capacity, kv_heads, head_dim] that holds
/// seq_k; each sees the tokens up to its own.
struct Attention {
  int64_t batch, seq_q, seq_k, capacity, heads, kv_heads, head_dim;
};

class Operations {
 public:
  virtual ~Operations() = default;

  /// y[tokens, out] = x[tokens, in]·Wᵀ; x is stored as the weights are.
  virtual void project(const Weights& weights, const Tensor& x, int64_t tokens, float* y) = 0;

  /// out[batch, seq_q, heads, head_dim]; q is stored as the cache is.
  virtual void attend(const Attention& shape, const Tensor& q, const Tensor& keys, const Tensor& values, float* out) = 0;
};

/// Loops that say what is meant, in double precision.
std::unique_ptr<Operations> plain_operations();

/// Metallic's matmul and sdpa.
std::unique_ptr<Operations> planned_operations();
