// SPDX-License-Identifier: Apache-2.0
// Builds the steps of a decoder layer from a model configuration.
#include "tuner/workloads/layer.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"

namespace metallic {

std::vector<LayerStep> layer_steps(const ModelConfig& model, DType dtype, int64_t batch, int64_t seq_q, int64_t seq_k) {
  const int64_t tokens = batch * seq_q, attended = model.heads * model.head_dim;
  const auto projection = [&](int64_t rows, int64_t in, int64_t out) { return matmul_problem(rows, in, out, false, true); };
  Problem attention = sdpa_problem(batch, model.heads, model.kv_heads, seq_q, seq_k, model.head_dim);
  make_causal(attention.as<SdpaShape>());
  std::vector<LayerStep> steps = {
      {.role = "qkv", .problem = projection(tokens, model.hidden, attended + 2 * model.kv_heads * model.head_dim)},
      {.role = "attention", .problem = attention},
      {.role = "o", .problem = projection(tokens, attended, model.hidden)},
      {.role = model.gated ? "gate_up" : "up",
       .problem = projection(tokens, model.hidden, (model.gated ? 2 : 1) * model.intermediate)},
      {.role = "down", .problem = projection(tokens, model.intermediate, model.hidden)},
      {.role = "lm_head", .problem = projection(batch, model.hidden, model.vocabulary), .of_layer = false},
  };
  for (LayerStep& step : steps) step.problem = with_dtype(std::move(step.problem), dtype);
  return steps;
}

}  // namespace metallic
