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
  int64_t runs = 1;      ///< in a pass through the model: as many as there are layers of its kind
};

/// The steps for `seq_q` new tokens in each of `batch` sequences of `seq_k` tokens; `seq_q` is 1 when decoding. The projections
/// of Q, K and V, attention, o, gate and up, down; each projection is X[batch·seq_q, in]·W[out, in]ᵀ. Then, unless the model is
/// an encoder, lm_head for the last token of each sequence. A step of each kind of layer, if they differ. Experts share the
/// tokens evenly, in a batch of products. Attention in a window sees no more keys than that, and takes a longer prompt in pieces.
/// Leaves out norms, rotation and activation, which move a few percent of a layer's bytes, and what `ModelConfig::left_out`
/// names.
std::vector<LayerStep> layer_steps(const ModelConfig& model, DType dtype, int64_t batch, int64_t seq_q, int64_t seq_k);

}  // namespace metallic
