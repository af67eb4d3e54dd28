// SPDX-License-Identifier: Apache-2.0
// Reads the widths of feed-forward parts, gates, and mixtures of experts.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "tuner/workloads/config_parts.h"

namespace metallic {
namespace {

// Model types whose feed-forward part has no gate; their config.json does not say so.
constexpr std::array<std::string_view, 34> kUngated = {
    "albert",
    "apertus",
    "arcee",
    "bart",
    "bert",
    "biogpt",
    "bloom",
    "camembert",
    "clip_text_model",
    "codegen",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "falcon",
    "gpt2",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "mbart",
    "mpnet",
    "mpt",
    "nemotron",
    "nemotron_h",
    "opt",
    "persimmon",
    "phi",
    "roberta",
    "starcoder2",
    "whisper",
    "xglm",
    "xlm-roberta",
    "xlm-roberta-xl",
};

// Activations that gated models rarely have. A gated one has "silu", or "gelu" in the types that `is_gated` names.
constexpr std::array<std::string_view, 9> kUngatedActivations = {"gelu", "gelu_new", "gelu_fast",    "gelu_python", "quick_gelu",
                                                                 "relu", "relu2",    "squared_relu", "xielu"};

constexpr ConfigKeys::Names kWidths = {
    "intermediate_size", "decoder_ffn_dim",           "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size",
    "hidden_dim",        "ffn_config.ffn_hidden_size"};

bool is_gated(const ConfigKeys& keys) {
  if (keys.is_true("is_gated_act")) return true;
  const std::string activation = keys.text(
      {"feed_forward_proj", "hidden_act", "hidden_activation", "activation_function", "mlp_hidden_act", "activation", "afn"});
  if (activation.find("glu") != std::string::npos || activation.starts_with("gated")) return true;
  if (keys.is_type({"t5", "umt5"})) return false;
  const std::string& type = keys.type();
  if (std::ranges::find(kUngated, type) != kUngated.end() || type.starts_with("RefinedWeb")) return false;
  if (type.starts_with("gemma") || type.starts_with("recurrent_gemma") || type == "modernbert" || type.starts_with("grok") ||
      type == "chatglm")
    return true;
  if (type.empty() && keys.given({"n_embd"})) return false;  // old enough for GPT-2's names
  return std::ranges::find(kUngatedActivations, activation) == kUngatedActivations.end();
}

// The width of dense layers. Old models leave out four times the hidden size.
Result<int64_t> read_width(const ConfigKeys& keys, const ModelConfig& model, ConfigKeys::Names names) {
  const bool usual = keys.is_type({"bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gptj", "mpt", "RefinedWeb",
                                   "RefinedWebModel"}) ||
                     keys.given({"n_embd"});
  if (usual && !keys.given(names)) {
    METALLIC_TRY(const int64_t ratio, keys.number_or(4, {"expansion_ratio"}, 1024));
    return std::min(ratio * model.hidden, kWidest);
  }
  METALLIC_TRY(const int64_t width, keys.number(names, kWidest));
  // Qwen-1 counts gate and up projection together.
  return keys.is_type({"qwen"}) ? std::max<int64_t>(width / 2, 1) : width;
}

// Dense layers, whose widths may be a list.
Status add_dense(const ConfigKeys& keys, ModelConfig& model, int64_t layers, bool gated) {
  if (layers == 0) return {};
  if (keys.is_true("block_auto_adjust_ff_dim"))
    return keys.refuse("block_auto_adjust_ff_dim", "the width that it makes is not known");
  if (!keys.is_list("intermediate_size")) {
    METALLIC_TRY(const int64_t width, keys.given({"intermediate_size_mlp"}) ? read_width(keys, model, {"intermediate_size_mlp"})
                                                                            : read_width(keys, model, kWidths));
    model.feed_forward.push_back({.part = "", .layers = layers, .intermediate = width, .gated = gated});
    return {};
  }
  constexpr size_t kMostWidths = 4;
  METALLIC_TRY(const Json* list, keys.list("intermediate_size"));
  std::map<int64_t, int64_t> widths;
  for (const Json& item : *list) {
    if (!item.is_number_integer() || item < 1 || item > kWidest)
      return keys.refuse("intermediate_size", fmt::format("expected whole numbers from 1 to {}", kWidest));
    ++widths[item.get<int64_t>()];
  }
  if (static_cast<int64_t>(list->size()) != model.layers || widths.size() > kMostWidths || layers != model.layers)
    return keys.refuse("intermediate_size", fmt::format("expected one width for each of {} layers, at most {} different ones",
                                                        model.layers, kMostWidths));
  for (const auto& [width, of_width] : widths)
    model.feed_forward.push_back({.part = "", .layers = of_width, .intermediate = width, .gated = gated});
  return {};
}

// How many layers have experts instead of one dense part.
Result<int64_t> count_sparse(const ConfigKeys& keys, int64_t layers) {
  for (const char* key : {"moe_layer_freq", "mlp_layer_types"})
    if (keys.is_list(key)) {
      METALLIC_TRY(const Json* list, keys.list(key));
      const auto sparse =
          std::ranges::count_if(*list, [](const Json& item) { return item == 1 || item == "sparse" || item == "moe"; });
      return std::min<int64_t>(sparse, layers);
    }
  if (keys.is_list("moe_layers")) {
    METALLIC_TRY(const Json* list, keys.list("moe_layers"));
    return std::min(layers, static_cast<int64_t>(list->size()));
  }
  METALLIC_TRY(const int64_t dense_first,
               keys.number_or(0, {"first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"}, kMostHeads, 0));
  METALLIC_TRY(const int64_t step,
               keys.number_or(1, {"decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval"}, kMostHeads));
  METALLIC_TRY(const int64_t period, keys.number_or(1, {"expert_layer_period", "moe_layer_freq"}, kMostHeads));
  METALLIC_TRY(const int64_t offset, keys.number_or(0, {"expert_layer_offset"}, period - 1, 0));
  const Json* dense = nullptr;
  if (keys.is_list("mlp_only_layers") && !keys.value("mlp_only_layers").empty()) {
    METALLIC_TRY(dense, keys.list("mlp_only_layers"));
  }
  int64_t sparse = 0;
  for (int64_t layer = dense_first; layer < layers; ++layer)
    sparse += (layer + 1) % step == 0 && layer % period == offset &&
              !(dense && dense->size() <= 1024 && std::ranges::find(*dense, Json(layer)) != dense->end());
  return sparse;
}

// The experts that every token uses: their width together, or 0.
Result<int64_t> read_shared_width(const ConfigKeys& keys, int64_t width) {
  if (keys.given({"shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size"}))
    return keys.number_or(
        0, {"shared_expert_intermediate_size", "shared_intermediate_size", "moe_shared_expert_intermediate_size"}, kWidest, 0);
  METALLIC_TRY(
      const int64_t count,
      keys.number_or(keys.is_type({"llama4_text"}) ? 1 : 0,
                     {"n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"}, 1024, 0));
  return std::min(count * width, kWidest);
}

Status add_experts(const ConfigKeys& keys, ModelConfig& model, int64_t layers, int64_t experts, bool gated) {
  if (layers == 0) return {};
  FeedForward part{.part = "experts", .layers = layers, .gated = gated, .experts = experts};
  METALLIC_TRY(part.active, keys.number({"num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k",
                                         "num_selected_experts", "top_k_experts", "ffn_config.moe_top_k"},
                                        experts));
  METALLIC_TRY(part.intermediate, keys.given({"moe_intermediate_size"}) ? keys.number({"moe_intermediate_size"}, kWidest)
                                                                        : read_width(keys, model, kWidths));
  model.feed_forward.push_back(part);
  METALLIC_TRY(const int64_t shared, read_shared_width(keys, part.intermediate));
  if (shared > 0) model.feed_forward.push_back({.part = "shared", .layers = layers, .intermediate = shared, .gated = gated});
  return {};
}

}  // namespace

Status read_feed_forward(const ConfigKeys& keys, ModelConfig& model) {
  const bool gated = is_gated(keys);
  METALLIC_TRY(
      const int64_t experts,
      keys.number_or(0, {"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "ffn_config.moe_num_experts"},
                     kMostHeads, 0));
  // Nemotron-H has one part a layer: - is a dense one, E is experts.
  if (const std::string pattern = keys.text({"hybrid_override_pattern"}); !pattern.empty()) {
    const auto letters = [&](char letter) { return std::min<int64_t>(std::ranges::count(pattern, letter), model.layers); };
    METALLIC_CHECK(add_dense(keys, model, letters('-'), gated));
    return add_experts(keys, model, experts > 1 ? letters('E') : 0, experts, gated);
  }
  METALLIC_TRY(const int64_t sparse, experts > 1 ? count_sparse(keys, model.layers) : Result<int64_t>(0));
  METALLIC_CHECK(add_dense(keys, model, model.layers - sparse, gated));
  return add_experts(keys, model, sparse, experts, gated);
}

}  // namespace metallic
