// SPDX-License-Identifier: Apache-2.0
// Builds the steps of a decoder layer from a model configuration.
#include "tuner/workloads/layer.h"

#include <algorithm>

#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "tuner/workloads/projections.h"

namespace metallic {
namespace {

LayerStep attention_step(const Attention& attention, bool causal, int64_t batch, int64_t seq_q, int64_t seq_k) {
  if (attention.window > 0 && seq_k > attention.window) {
    const int64_t pieces = (seq_q + attention.window - 1) / attention.window;
    batch *= pieces;
    seq_q = std::min(seq_q, attention.window);
    seq_k = attention.window;
  }
  Problem problem = sdpa_problem(batch, attention.heads, attention.kv_heads, seq_q, seq_k, attention.head_dim);
  if (causal) make_causal(problem.as<SdpaShape>());
  return {.role = attention.window > 0 ? "attention in a window" : "attention", .problem = problem, .runs = attention.layers};
}

}  // namespace

std::vector<LayerStep> layer_steps(const ModelConfig& model, DType dtype, int64_t batch, int64_t seq_q, int64_t seq_k) {
  const int64_t tokens = batch * seq_q;
  std::vector<LayerStep> steps;
  for (const Projection& p : projections(model)) {
    if (p.role == "o" && std::ranges::none_of(steps, [](const LayerStep& step) { return step.problem.op() == kSdpa; }))
      for (const Attention& attention : model.attention)
        if (attention.value_dim == attention.head_dim)
          steps.push_back(attention_step(attention, model.causal, batch, seq_q, seq_k));
    const ExpertLoad load = expert_load(p, tokens);
    steps.push_back(
        {.role = p.role, .problem = matmul_problem(load.tokens, p.in, p.out, false, true, load.experts), .runs = p.layers});
  }
  if (model.causal)
    steps.push_back(
        {.role = "lm_head", .problem = matmul_problem(batch, model.hidden, model.vocabulary, false, true), .of_layer = false});
  for (LayerStep& step : steps) step.problem = with_dtype(std::move(step.problem), dtype);
  return steps;
}

}  // namespace metallic
