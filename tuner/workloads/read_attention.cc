// SPDX-License-Identifier: Apache-2.0
// Reads heads, latent projections and windows.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tuner/workloads/config_parts.h"
#include "tuner/workloads/layer_kinds.h"

namespace metallic {
namespace {

// Names of the same size for layers of one kind, which may have heads of their own.
struct HeadKeys {
  ConfigKeys::Names heads, kv_heads, head_dim, value_dim;
};

// How many heads K and V have. `multi_query` is older than a number of them, and beats it: Falcon-7B has both.
Result<int64_t> read_kv_heads(const ConfigKeys& keys, ConfigKeys::Names names, int64_t heads) {
  const bool usually_one = keys.is_type({"falcon", "gpt_bigcode", "RefinedWebModel"}) && !keys.is_false("multi_query");
  if (!keys.is_true("new_decoder_architecture") && (usually_one || keys.is_true("multi_query"))) return 1;
  if (keys.text({"attn_config.attn_type"}) == "multiquery_attention") return 1;
  METALLIC_TRY(const int64_t kv_heads, keys.number_or(heads, names, heads));
  if (heads % kv_heads != 0) return keys.refuse(keys.given(names), fmt::format("expected a divisor of the {} heads", heads));
  return kv_heads;
}

Result<Attention> read_heads(const ConfigKeys& keys, const ModelConfig& model, const HeadKeys& names) {
  Attention attention;
  METALLIC_TRY(attention.heads, keys.number(names.heads, kMostHeads));
  METALLIC_TRY(attention.kv_heads, read_kv_heads(keys, names.kv_heads, attention.heads));
  const char* head_dim = keys.given(names.head_dim);
  if (!head_dim && model.hidden % attention.heads != 0)
    return keys.refuse("head_dim", fmt::format("{} heads do not divide the hidden size {}", attention.heads, model.hidden));
  METALLIC_TRY(attention.head_dim,
               keys.number_or(std::max<int64_t>(model.hidden / attention.heads, 1), names.head_dim, kMostHeads));
  METALLIC_TRY(attention.value_dim, keys.number_or(attention.head_dim, names.value_dim, kMostHeads));
  if (attention.heads * std::max(attention.head_dim, attention.value_dim) > kWidest)
    return keys.refuse(head_dim ? head_dim : "head_dim",
                       fmt::format("use at most {} for all {} heads together", kWidest, attention.heads));
  attention.output_gate = keys.is_true("attn_output_gate") || keys.is_type({"qwen3_next"});
  return attention;
}

Result<Attention> read_latent(const ConfigKeys& keys, const ModelConfig&) {
  Attention attention;
  LatentProjections latent;
  METALLIC_TRY(attention.heads, keys.number({"num_attention_heads"}, kMostHeads));
  METALLIC_TRY(latent.kv_rank, keys.number({"kv_lora_rank"}, kWidest));
  METALLIC_TRY(latent.q_rank, keys.number_or(0, {"q_lora_rank"}, kWidest, 0));
  METALLIC_TRY(latent.plain, keys.number({"qk_nope_head_dim"}, kMostHeads, 0));
  METALLIC_TRY(latent.rotated, keys.number({"qk_rope_head_dim"}, kMostHeads));
  METALLIC_TRY(attention.value_dim, keys.number({"v_head_dim"}, kMostHeads));
  attention.kv_heads = attention.heads;
  attention.head_dim = latent.plain + latent.rotated;
  if (attention.heads * (latent.plain + std::max(latent.rotated, attention.value_dim)) > kWidest)
    return keys.refuse("num_attention_heads", fmt::format("use at most {} for all heads together", kWidest));
  attention.latent = latent;
  return attention;
}

}  // namespace

Status read_attention(const ConfigKeys& keys, ModelConfig& model) {
  const HeadKeys usual = {{"num_attention_heads", "decoder_attention_heads", "n_head", "n_heads", "num_heads"},
                          {"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num", "attn_config.kv_n_heads"},
                          {"head_dim", "attention_head_dim", "kv_channels", "d_kv"},
                          {"v_head_dim"}};
  // Models with windows may have other heads in the layers of one kind.
  const HeadKeys windowed = {{"swa_num_attention_heads", "num_attention_heads"},
                             {"swa_num_key_value_heads", "num_key_value_heads"},
                             {"swa_head_dim", "head_dim"},
                             {"swa_v_head_dim", "v_head_dim"}};
  const HeadKeys full = {{"num_attention_heads"},
                         {"num_global_key_value_heads", "num_key_value_heads"},
                         {"global_head_dim", "head_dim"},
                         {"v_head_dim"}};
  const auto read = [&](const HeadKeys& own, ConfigKeys::Names given_if) -> Result<Attention> {
    if (keys.given({"kv_lora_rank"})) return read_latent(keys, model);
    return read_heads(keys, model, keys.given(given_if) ? own : usual);
  };
  METALLIC_TRY(const LayerKinds kinds, layer_kinds(keys, model.layers));
  if (kinds.full + kinds.windowed == 0) return keys.refuse(kinds.key, "none of the layers has attention");
  if (kinds.without > 0)
    model.left_out.push_back(fmt::format("{}: {} of {} layers have no attention: what they have instead is left out", kinds.key,
                                         kinds.without, model.layers));
  if (kinds.full > 0) {
    METALLIC_TRY(Attention attention, read(full, {"global_head_dim", "num_global_key_value_heads"}));
    attention.layers = kinds.full;
    model.attention.push_back(attention);
  }
  if (kinds.windowed > 0) {
    METALLIC_TRY(Attention attention, read(windowed, {"swa_num_attention_heads", "swa_num_key_value_heads", "swa_head_dim"}));
    attention.layers = kinds.windowed;
    const char* window = window_key(keys);
    METALLIC_TRY(attention.window, keys.number({window ? window : "sliding_window"}, 1 << 30));
    if (attention.window >= model.context) attention.window = 0;
    model.attention.push_back(attention);
  }
  for (const Attention& attention : model.attention)
    if (attention.value_dim != attention.head_dim) {
      model.left_out.push_back(
          fmt::format("v_head_dim: heads of V have {} elements and those of Q and K {}: attention is left out",
                      attention.value_dim, attention.head_dim));
      break;
    }
  return {};
}

}  // namespace metallic
