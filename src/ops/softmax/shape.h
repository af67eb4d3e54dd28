// SPDX-License-Identifier: Apache-2.0
// The softmax of rows of scores.
#pragma once

#include <cstdint>
#include <optional>

#include "ops/problem.h"

namespace metallic {

extern const Operation softmax_operation;

/// Softmax along seq_k of batch·seq_q rows: out[i] = exp(scale·in[i] − max) / Σ exp(scale·in[j] − max), max over scale·in.
/// A 2-D tensor `[rows, seq_k]` has rank 2, batch 1 and seq_q = rows, and is never causal.
/// Axes: rows = batch·seq_q, and elements = rows·seq_k, which tells whether caches hold the problem.
struct SoftmaxShape {
  static const Operation& operation() { return softmax_operation; }

  int rank = 2;
  int64_t batch = 1;
  int64_t seq_q = 0;
  int64_t seq_k = 0;
  bool causal = false;
  int64_t offset = 0;     ///< key j is visible to query i iff j ≤ i + offset
  float scale = 1;        ///< finite and > 0
  int64_t in_stride = 0;  ///< elements from one row to the next, at least seq_k
  int64_t out_stride = 0;

  int64_t rows() const { return batch * seq_q; }
  bool contiguous() const { return in_stride == seq_k && out_stride == seq_k; }
  bool operator==(const SoftmaxShape&) const = default;
};

inline const Op kSoftmax(softmax_operation);

/// Contiguous problems; set strides afterwards if they differ.
Problem softmax_problem(int64_t rows, int64_t seq_k);
Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k);

/// Adds the causal mask with this offset, or with the usual one, seq_k − seq_q.
void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset = std::nullopt);

}  // namespace metallic
