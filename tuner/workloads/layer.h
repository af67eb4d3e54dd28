// A decoder layer: the matmuls and the attention of one, in the order in which a token passes through them.
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
  bool of_layer = true;  ///< false: once a token, behind the last layer
};

/// New tokens of `batch` sequences that are `seq_k` long with them: `seq_q` each, 1 when decoding. qkv, attention (causal), o,
/// gate and up, down, each X[batch·seq_q, in]·W[out, in]ᵀ; then lm_head for the last token of each sequence. What is no matmul
/// and no attention (norms, rotation, activation: some percent of a layer's bytes) is left out.
std::vector<LayerStep> layer_steps(const ModelConfig& model, DType dtype, int64_t batch, int64_t seq_q, int64_t seq_k);

}  // namespace metallic
