// Models: public configurations as Hugging Face writes them, and the problems that a model's inference runs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/problem.h"
#include "core/status.h"

namespace metallic {

struct ModelConfig {
  std::string name;
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;  ///< longest sequence
};

/// The names of the configurations that are built in.
std::vector<std::string> model_names();

/// A built-in configuration; the error lists the names.
Result<ModelConfig> find_model(std::string_view name);

/// A configuration from the text of a config.json. Missing num_key_value_heads is num_attention_heads, missing head_dim is
/// hidden_size / num_attention_heads.
Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where);

/// A problem that is worth timing, and how much it counts.
struct WeightedProblem {
  Problem problem;
  double weight = 1;
  bool typed = false;  ///< whether a list named the element type; else it is whatever the caller wants
  std::string role;    ///< "qkv", "lm_head (1/8 proxy)"; empty where a list does not say
};

/// What a model runs, in f32: projections for decode batches 1…16 and short prefills, in the engines' orientation
/// X[T,K]·W[out,K]ᵀ and, for one of them, in the guide's with weights first; small GEMMs around the packing thresholds;
/// softmax over 64…context keys for one row, one token of all heads, and a prefill tile. A projection that would eat the
/// budget (lm_head) is sliced to an eighth of its outputs and says so in its role.
std::vector<WeightedProblem> model_problems(const ModelConfig& model);

/// Problems from a list, one label (ranges allowed) a line with an optional weight and an optional type after it;
/// `#` begins a comment.
Result<std::vector<WeightedProblem>> parse_problem_list(std::string_view text, std::string_view where);

}  // namespace metallic
