// Weighted problems: what is worth timing and how much it counts, of a model or from a list.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ops/problem.h"
#include "base/status.h"
#include "tuner/workloads/model.h"

namespace metallic {

/// A problem that is worth timing, and how much it counts.
struct WeightedProblem {
  Problem problem;
  double weight = 1;
  bool typed = false;  ///< whether a list named the element type; else it is whatever the caller wants
  std::string role;    ///< "qkv", "lm_head (1/8 proxy)"; empty where a list does not say
};

/// What a model runs, in f32, each problem once: about a hundred.
///   matmul   qkv, o, gate_up (up, without a gate), down and lm_head in the engines' orientation X[T,K]·W[out,K]ᵀ for T = 1, 2,
///            4, 8, 16 (decode batches) and 32, 128, 512 (prefill, whose logits are wanted for the last token only); o in
///            the guide's orientation, weights first; small GEMMs around the packing thresholds
///   softmax  64…context keys for one row, one token of all heads and 16 of them; 64 causal queries a head
///   sdpa     a token of one sequence and of four with 512, 2048 and 8192 keys; causal prefills of 128 and 512
/// A weight is how often a token runs the problem, in runs a layer: 1 for each projection (lm_head 1 / layers), for softmax and
/// for sdpa, whichever of the two attention is made of. Of the tokens 3/4 decode and 1/4 are prefill, spread evenly over the
/// batches or contexts of either kind. "weights first" weighs as much as the projection that it stands for, the small GEMMs,
/// attention's products over short contexts, a tenth of that.
/// No operand exceeds 256 MiB and no matmul 2³² operations: larger projections are cut to a fraction of their outputs, which
/// stands for the whole, keeps its weight and says so in its role. What is still too large (a prefill, a long context) is
/// left out, and its weight goes to the others of its kind.
std::vector<WeightedProblem> model_problems(const ModelConfig& model);

/// Problems from a list, one label (ranges allowed) a line with an optional weight and an optional type after it;
/// `#` begins a comment.
Result<std::vector<WeightedProblem>> parse_problem_list(std::string_view text, std::string_view where);

}  // namespace metallic
