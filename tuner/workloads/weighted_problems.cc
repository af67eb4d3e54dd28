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
#include "tuner/workloads/projections.h"

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
    if (weight == 0) return;
    for (WeightedProblem& each : kind) {
      each.weight = weight / static_cast<double>(kind.size());
      const auto [at, is_new] = places_.try_emplace(label(each.problem), problems_.size());
      if (is_new) {
        problems_.push_back(std::move(each));
      } else {
        problems_[at->second].weight += each.weight;
        if (!has_role(problems_[at->second].role, each.role)) problems_[at->second].role += "; " + each.role;
      }
    }
  }

  std::vector<WeightedProblem> take() { return std::move(problems_); }

 private:
  static bool has_role(const std::string& roles, const std::string& role) {
    return ("; " + roles + ";").find("; " + role + ";") != std::string::npos;
  }

  std::vector<WeightedProblem> problems_;
  std::map<std::string, size_t> places_;
};

// How the tokens are spread. An encoder reads whole sequences.
struct Shares {
  double decode, prefill;
};
Shares shares(const ModelConfig& model) { return model.causal ? Shares{kDecode, kPrefill} : Shares{0, 1}; }

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
std::vector<WeightedProblem> dense_problems(const Projection& p, std::span<const int64_t> token_counts) {
  std::vector<WeightedProblem> problems;
  for (const int64_t tokens : token_counts) {
    const int64_t parts = slices(p, tokens), out = p.out / parts;
    if ((parts > 1 && out < tokens) || tokens * std::max(p.in, out) > kMostElements) continue;
    problems.push_back({.problem = matmul_problem(tokens, p.in, out, false, true), .role = role(p.role, parts)});
  }
  return problems;
}

// The same for experts: a batch of products, of which as many are kept as are affordable.
std::vector<WeightedProblem> expert_problems(const Projection& p, std::span<const int64_t> token_counts) {
  std::vector<WeightedProblem> problems;
  for (const int64_t tokens : token_counts) {
    const ExpertLoad load = expert_load(p, tokens);
    const int64_t largest = std::max({p.in * p.out, load.tokens * p.in, load.tokens * p.out});
    const int64_t affordable = std::min(kMostElements / largest, kMostFlops / (2 * load.tokens * p.in * p.out));
    if (affordable == 0) {
      const auto one = dense_problems(p, std::array{load.tokens});
      problems.insert(problems.end(), one.begin(), one.end());
      continue;
    }
    const int64_t batch = std::min(load.experts, affordable);
    problems.push_back({.problem = matmul_problem(load.tokens, p.in, p.out, false, true, batch),
                        .role = batch == load.experts ? p.role : p.role + " (proxy of fewer experts)"});
  }
  return problems;
}

void add_matmuls(const ModelConfig& model, ModelProblems& problems) {
  constexpr std::array<int64_t, 5> kBatches = {1, 2, 4, 8, 16};
  constexpr std::array<int64_t, 3> kPrefills = {32, 128, 512};
  const auto layers = static_cast<double>(model.layers);
  const Shares share = shares(model);
  const std::vector<Projection> all = projections(model);
  for (const Projection& p : all) {
    const auto of = p.experts > 1 ? expert_problems : dense_problems;
    const double weight = static_cast<double>(p.layers) / layers;
    problems.add(of(p, kBatches), weight * share.decode);
    problems.add(of(p, kPrefills), weight * share.prefill);
  }
  const Projection lm_head{.role = "lm_head", .out = model.vocabulary, .in = model.hidden};
  problems.add(dense_problems(lm_head, kBatches), share.decode / layers);

  // Weights first, with N varied at fixed M and K: one projection stands for all.
  const Projection& o = *std::ranges::find(all, "o", &Projection::role);
  const auto weights_first = [&](std::span<const int64_t> token_counts) {
    std::vector<WeightedProblem> of_kind;
    for (const int64_t tokens : token_counts) {
      const int64_t parts = slices(o, tokens);
      if ((parts > 1 && o.out / parts < tokens) || tokens * o.in > kMostElements) continue;
      of_kind.push_back({.problem = matmul_problem(o.out / parts, o.in, tokens), .role = role("o, weights first", parts)});
    }
    return of_kind;
  };
  problems.add(weights_first(std::array<int64_t, 6>{1, 2, 3, 4, 8, 16}), share.decode);
  problems.add(weights_first(std::array<int64_t, 2>{32, 64}), share.prefill);

  const int64_t head_dim = model.attention.front().head_dim;
  std::vector<WeightedProblem> small;
  for (const int64_t m : {32, 64, 128, 256})
    for (const int64_t n : {17, 32})
      if (m * head_dim <= kMostElements) small.push_back({.problem = matmul_problem(m, head_dim, n), .role = "small GEMM"});
  problems.add(std::move(small), 0.1);
}

// The keys that a query of some layers sees when it may see `seq_k`.
int64_t visible(const Attention& attention, int64_t seq_k) {
  return attention.window > 0 ? std::min(seq_k, attention.window) : seq_k;
}

double share_of_layers(const ModelConfig& model, const Attention& attention) {
  return static_cast<double>(attention.layers) / static_cast<double>(model.layers);
}

void add_softmaxes(const ModelConfig& model, const Attention& attention, ModelProblems& problems) {
  constexpr int64_t kMost = int64_t{1} << 23;  // elements: 32 MiB of input and of output; larger ones behave the same
  const Shares share = shares(model);
  const double layers = share_of_layers(model, attention);
  const auto over_contexts = [&](int64_t rows, std::string_view name) {
    std::vector<WeightedProblem> of_kind;
    for (int64_t context = 64; context <= model.context && rows * visible(attention, context) <= kMost; context *= 2)
      of_kind.push_back({.problem = softmax_problem(rows, visible(attention, context)), .role = std::string(name)});
    return of_kind;
  };
  problems.add(over_contexts(1, "one row"), layers * share.decode / 2);
  problems.add(over_contexts(attention.heads, "decode, all heads"), layers * share.decode / 2);
  problems.add(over_contexts(attention.heads * 16, "prefill tile"), layers * share.prefill / (model.causal ? 2 : 1));
  if (!model.causal) return;
  std::vector<WeightedProblem> causal;
  for (const int64_t context : {256, 1024, 4096}) {
    const int64_t seq_k = visible(attention, context);
    const int64_t seq_q = std::min({int64_t{64}, seq_k, kMost / (attention.heads * seq_k)});
    if (context > model.context || seq_q == 0) continue;
    Problem problem = softmax_problem(attention.heads, seq_q, seq_k);
    make_causal(problem.as<SoftmaxShape>());
    causal.push_back({.problem = problem, .role = "prefill, causal"});
  }
  problems.add(std::move(causal), layers * share.prefill / 2);
}

void add_sdpas(const ModelConfig& model, const Attention& attention, ModelProblems& problems) {
  if (attention.value_dim != attention.head_dim) return;  // an sdpa has one head_dim
  const int64_t heads = attention.heads, kv_heads = attention.kv_heads, head_dim = attention.head_dim;
  // Bounds K and V together as one operand, and the scores, which some variants store.
  const auto affordable = [&](int64_t batch, int64_t seq_q, int64_t seq_k) {
    return 2 * batch * kv_heads * seq_k * head_dim <= kMostElements &&
           batch * heads * seq_q * std::max(seq_k, head_dim) <= kMostElements;
  };
  const Shares share = shares(model);
  std::vector<WeightedProblem> decode, prefill;
  for (const int64_t batch : {1, 4}) {
    for (const int64_t context : {512, 2048, 8192}) {
      const int64_t seq_k = visible(attention, context);
      if (context <= model.context && affordable(batch, 1, seq_k))
        decode.push_back({.problem = sdpa_problem(batch, heads, kv_heads, 1, seq_k, head_dim),
                          .role = fmt::format("decode, batch {}", batch)});
    }
    for (const int64_t prompt : {128, 512}) {
      // A prompt that exceeds the window is read in pieces of that length.
      const int64_t tokens = visible(attention, prompt), pieces = (prompt + tokens - 1) / tokens;
      if (prompt > model.context || (model.causal && batch > 1) || !affordable(batch * pieces, tokens, tokens)) continue;
      Problem problem = sdpa_problem(batch * pieces, heads, kv_heads, tokens, tokens, head_dim);
      if (model.causal) make_causal(problem.as<SdpaShape>());
      prefill.push_back({.problem = problem, .role = model.causal ? "prefill, causal" : "whole sequences"});
    }
  }
  const double layers = share_of_layers(model, attention);
  problems.add(std::move(decode), layers * share.decode);
  problems.add(std::move(prefill), layers * share.prefill);
}

}  // namespace

std::vector<WeightedProblem> model_problems(const ModelConfig& model) {
  ModelProblems problems;
  add_matmuls(model, problems);
  for (const Attention& attention : model.attention) {
    add_softmaxes(model, attention, problems);
    add_sdpas(model, attention, problems);
  }
  return problems.take();
}

}  // namespace metallic
