// SPDX-License-Identifier: Apache-2.0
// Decoder layer: its matmuls and its attention, in the order in which an engine runs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "ops/problem.h"
#include "tuner/workloads/model.h"

namespace metallic {

struct LayerStep {
  std::string role;
  Problem problem;
  bool of_layer = true;  ///< false: runs once a token, after the last layer
};

/// The steps for `seq_q` new tokens in each of `batch` sequences of `seq_k` tokens; `seq_q` is 1 when decoding. qkv, causal
/// attention, o, gate and up, down; each projection is X[batch·seq_q, in]·W[out, in]ᵀ. Then lm_head for the last token of each
/// sequence. Leaves out norms, rotation and activation, which move a few percent of a layer's bytes.
std::vector<LayerStep> layer_steps(const ModelConfig& model, DType dtype, int64_t batch, int64_t seq_q, int64_t seq_k);

}  // namespace metallic
