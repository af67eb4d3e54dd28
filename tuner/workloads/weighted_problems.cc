// SPDX-License-Identifier: Apache-2.0
// The problems of a model: its projections, softmax and attention, with weights and cost limits.
#include "tuner/workloads/weighted_problems.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/shape.h"

namespace metallic {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 26;  // of an operand: 256 MiB in f32, larger than common caches
constexpr int64_t kMostFlops = int64_t{1} << 32;     // of a call: some tens of milliseconds, so that all fit into 60 s
constexpr double kDecode = 0.75, kPrefill = 0.25;    // shares of the tokens

// Collects problems. Small models run one problem in several roles: it is kept once, with the sum of their weights.
class ModelProblems {
 public:
  // Spreads `weight` evenly over the problems of one kind.
  void add(std::vector<WeightedProblem> kind, double weight) {
    for (WeightedProblem& each : kind) {
      each.weight = weight / static_cast<double>(kind.size());
      const auto [at, is_new] = places_.try_emplace(label(each.problem), problems_.size());
      if (is_new) {
        problems_.push_back(std::move(each));
      } else {
        problems_[at->second].weight += each.weight;
        problems_[at->second].role += "; " + each.role;
      }
    }
  }

  std::vector<WeightedProblem> take() { return std::move(problems_); }

 private:
  std::vector<WeightedProblem> problems_;
  std::map<std::string, size_t> places_;
};

struct Projection {
  std::string_view role;
  int64_t out;
  int64_t in;
};

// How many parts to cut the outputs of a projection into. A divisor if possible, so that a part is as round a number as the
// whole.
int64_t slices(const Projection& p, int64_t tokens) {
  const int64_t weights = p.out * p.in;
  const int64_t least =
      std::max((weights + kMostElements - 1) / kMostElements, (2 * tokens * weights + kMostFlops - 1) / kMostFlops);
  for (int64_t parts = least; parts <= std::min(2 * least, p.out); ++parts)
    if (p.out % parts == 0) return parts;
  return least;
}

std::string role(std::string_view name, int64_t parts) {
  return parts == 1 ? std::string(name) : fmt::format("{} (1/{} proxy)", name, parts);
}

// A projection for each number of tokens, X[tokens,in]·W[out,in]ᵀ. Leaves out parts with fewer outputs than tokens, which would
// be another kind of problem, and those with too large an input or output.
std::vector<WeightedProblem> projections(const Projection& p, std::span<const int64_t> token_counts) {
  std::vector<WeightedProblem> problems;
  for (const int64_t tokens : token_counts) {
    const int64_t parts = slices(p, tokens), out = p.out / parts;
    if ((parts > 1 && out < tokens) || tokens * std::max(p.in, out) > kMostElements) continue;
    problems.push_back({.problem = matmul_problem(tokens, p.in, out, false, true), .role = role(p.role, parts)});
  }
  return problems;
}

void add_matmuls(const ModelConfig& model, ModelProblems& problems) {
  constexpr std::array<int64_t, 5> kBatches = {1, 2, 4, 8, 16};
  constexpr std::array<int64_t, 3> kPrefills = {32, 128, 512};
  const int64_t attended = model.heads * model.head_dim;
  const std::array<Projection, 4> of_layer = {{
      {"qkv", attended + 2 * model.kv_heads * model.head_dim, model.hidden},
      {"o", model.hidden, attended},
      {model.gated ? "gate_up" : "up", (model.gated ? 2 : 1) * model.intermediate, model.hidden},
      {"down", model.hidden, model.intermediate},
  }};
  for (const Projection& p : of_layer) {
    problems.add(projections(p, kBatches), kDecode);
    problems.add(projections(p, kPrefills), kPrefill);
  }
  problems.add(projections({"lm_head", model.vocabulary, model.hidden}, kBatches), kDecode / static_cast<double>(model.layers));

  // Weights first, with N varied at fixed M and K: one projection stands for all.
  const auto weights_first = [&](std::span<const int64_t> token_counts) {
    std::vector<WeightedProblem> of_kind;
    for (const int64_t tokens : token_counts) {
      const int64_t parts = slices(of_layer[1], tokens);
      if ((parts > 1 && model.hidden / parts < tokens) || tokens * attended > kMostElements) continue;
      of_kind.push_back(
          {.problem = matmul_problem(model.hidden / parts, attended, tokens), .role = role("o, weights first", parts)});
    }
    return of_kind;
  };
  problems.add(weights_first(std::array<int64_t, 6>{1, 2, 3, 4, 8, 16}), kDecode);
  problems.add(weights_first(std::array<int64_t, 2>{32, 64}), kPrefill);

  std::vector<WeightedProblem> small;
  for (const int64_t m : {32, 64, 128, 256})
    for (const int64_t n : {17, 32})
      if (m * model.head_dim <= kMostElements)
        small.push_back({.problem = matmul_problem(m, model.head_dim, n), .role = "small GEMM"});
  problems.add(std::move(small), 0.1);
}

void add_softmaxes(const ModelConfig& model, ModelProblems& problems) {
  constexpr int64_t kMost = int64_t{1} << 23;  // elements: 32 MiB of input and of output; larger ones behave the same
  const auto over_contexts = [&](int64_t rows, std::string_view name) {
    std::vector<WeightedProblem> of_kind;
    for (int64_t seq_k = 64; seq_k <= model.context && rows * seq_k <= kMost; seq_k *= 2)
      of_kind.push_back({.problem = softmax_problem(rows, seq_k), .role = std::string(name)});
    return of_kind;
  };
  problems.add(over_contexts(1, "one row"), kDecode / 2);
  problems.add(over_contexts(model.heads, "decode, all heads"), kDecode / 2);
  problems.add(over_contexts(model.heads * 16, "prefill tile"), kPrefill / 2);
  std::vector<WeightedProblem> causal;
  for (const int64_t seq_k : {256, 1024, 4096}) {
    const int64_t seq_q = std::min<int64_t>(64, kMost / (model.heads * seq_k));
    if (seq_k > model.context || seq_q == 0) continue;
    Problem problem = softmax_problem(model.heads, seq_q, seq_k);
    make_causal(problem.as<SoftmaxShape>());
    causal.push_back({.problem = problem, .role = "prefill, causal"});
  }
  problems.add(std::move(causal), kPrefill / 2);
}

void add_sdpas(const ModelConfig& model, ModelProblems& problems) {
  // Bounds K and V together as one operand, and the scores, which some variants store.
  const auto affordable = [&](int64_t batch, int64_t seq_q, int64_t seq_k) {
    return seq_k <= model.context && 2 * batch * model.kv_heads * seq_k * model.head_dim <= kMostElements &&
           batch * model.heads * seq_q * std::max(seq_k, model.head_dim) <= kMostElements;
  };
  std::vector<WeightedProblem> decode, prefill;
  for (const int64_t batch : {1, 4})
    for (const int64_t seq_k : {512, 2048, 8192})
      if (affordable(batch, 1, seq_k))
        decode.push_back({.problem = sdpa_problem(batch, model.heads, model.kv_heads, 1, seq_k, model.head_dim),
                          .role = fmt::format("decode, batch {}", batch)});
  for (const int64_t tokens : {128, 512}) {
    if (!affordable(1, tokens, tokens)) continue;
    Problem problem = sdpa_problem(1, model.heads, model.kv_heads, tokens, tokens, model.head_dim);
    make_causal(problem.as<SdpaShape>());
    prefill.push_back({.problem = problem, .role = "prefill, causal"});
  }
  problems.add(std::move(decode), kDecode);
  problems.add(std::move(prefill), kPrefill);
}

}  // namespace

std::vector<WeightedProblem> model_problems(const ModelConfig& model) {
  ModelProblems problems;
  add_matmuls(model, problems);
  add_softmaxes(model, problems);
  add_sdpas(model, problems);
  return problems.take();
}

}  // namespace metallic
