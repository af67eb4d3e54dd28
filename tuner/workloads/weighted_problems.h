// SPDX-License-Identifier: Apache-2.0
// Weighted problems: what to time and how much it counts, from a model or a list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "ops/problem.h"
#include "tuner/workloads/model.h"

namespace metallic {

/// A problem and how much it counts.
struct WeightedProblem {
  Problem problem;
  double weight = 1;
  bool typed = false;  ///< whether a list named the element type; otherwise the caller chooses it
  std::string role;    ///< e.g. "qkv" or "lm_head (1/8 proxy)"; empty for problems from a list
};

/// The problems of a model, in f32, each once: about a hundred, more if its layers differ.
///   matmul   qkv, o, gate_up (or up), down and lm_head in the orientation of engines, X[T,K]·W[out,K]ᵀ, for T = 1, 2, 4, 8, 16
///            (decode batches) and 32, 128, 512 (prefill; not lm_head, which runs for the last token only); the same for latent
///            projections, routers and shared experts; for experts a batch of products, for as many experts and with as many
///            tokens each as T tokens use on average; o with the weights first; small GEMMs around the packing thresholds
///   softmax  64 keys up to the context, for one row, for one token and for 16 tokens of all heads; 64 causal queries a head
///   sdpa     one token of one sequence and of four with 512, 2048 and 8192 keys; causal prefills of 128 and 512 tokens; in
///   layers
///            with a window no more keys than that. None if V has another head_dim than Q and K
/// A weight is how often a token runs the problem, per layer: 1 for each projection that all layers have (lm_head: 1 / layers),
/// for softmax and for sdpa. 3/4 of the tokens decode and 1/4 are prefill, spread evenly over the batches or contexts of each
/// kind. Those of an encoder are all prefill, without mask and lm_head. "weights first" has the weight of the projection that it
/// stands for. The small GEMMs, which stand for attention over short contexts, have a tenth of that. No operand exceeds 256 MiB
/// and no matmul 2³² operations. A larger projection is cut to a fraction of its outputs or experts, which keeps the weight; its
/// role says "proxy". Problems that are still too large (a prefill, a long context) are left out, and others of their kind get
/// their weight.
std::vector<WeightedProblem> model_problems(const ModelConfig& model);

/// Parses a list: on each line a label (ranges allowed), an optional weight and an optional element type; `#` begins a comment.
/// Errors name the line.
Result<std::vector<WeightedProblem>> parse_problem_list(std::string_view text, std::string_view where);

}  // namespace metallic
