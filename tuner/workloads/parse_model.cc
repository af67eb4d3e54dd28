// SPDX-License-Identifier: Apache-2.0
// Parses config.json: finds the language model in it and reads its parts.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "tuner/workloads/config_parts.h"

namespace metallic {
namespace {

// The configuration of the language model, which multimodal ones nest. An outer hidden_size beside it is of the projector.
Result<JsonObject> language_model(const JsonObject& object) {
  constexpr std::array kNested = {"text_config",           "llm_config",        "language_config", "thinker_config",
                                  "language_model_config", "text_model_config", "decoder"};
  for (const char* key : kNested) {
    if (!object.has(key) || object.value()[key].empty()) continue;  // null is empty too
    METALLIC_TRY(const JsonObject inner, object.object(key));
    return language_model(inner);
  }
  return object;
}

std::optional<DType> dtype_of(const JsonObject& object) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto text = object.text(key);
    if (!text) continue;
    const std::string_view type = std::string_view(*text).substr(text->starts_with("torch.") ? 6 : 0);
    if (type == "bfloat16") return DType::bf16;
    if (type == "float16" || type == "half") return DType::f16;
    if (type == "float32" || type == "float") return DType::f32;
  }
  return std::nullopt;
}

bool is_encoder(const ConfigKeys& keys) {
  return !keys.is_true("is_decoder") &&
         keys.is_type({"albert",      "bert",          "camembert", "convbert",   "deberta", "deberta-v2",           "distilbert",
                       "electra",     "ernie",         "esm",       "eurobert",   "ibert",   "megatron-bert",        "modernbert",
                       "mpnet",       "neobert",       "new",       "nomic_bert", "roberta", "roberta-prelayernorm", "roformer",
                       "xlm-roberta", "xlm-roberta-xl"});
}

// Models whose shapes do not follow from the keys read here.
Status refuse_unknown_kinds(const ConfigKeys& keys) {
  if (keys.is_type({"falcon_mamba", "mamba", "mamba2", "retnet", "rwkv", "rwkv5", "rwkv6", "rwkv7", "xlstm"}))
    return keys.refuse("model_type", "models without attention are not read");
  if (keys.is_type(
          {"big_bird", "bigbird_pegasus", "funnel", "led", "longformer", "mobilebert", "reformer", "squeezebert", "xlnet"}))
    return keys.refuse("model_type", "the shapes of this type are not known");
  for (const char* key : {"block_configs", "ffn_multipliers"})
    if (keys.is_list(key)) return keys.refuse(key, "layers that differ in this way are not read");
  return {};
}

// Says which parts have keys but no problems.
void list_left_out(const ConfigKeys& keys, ModelConfig& model) {
  constexpr std::pair<const char*, const char*> kParts[] = {
      {"altup_num_inputs", "its predictions and corrections are left out"},
      {"hidden_size_per_layer_input", "the inputs of each layer are left out"},
      {"index_topk", "attention is taken as dense: the indexer and its choice are left out"},
      {"mamba_d_ssm", "the state-space part of each layer is left out"},
      {"num_kv_shared_layers", "layers that share K and V are counted with their own"},
  };
  for (const auto& [key, what] : kParts)
    if (keys.given({key}) && !(keys.number({key}, 1, 0).value_or(1) == 0))
      model.left_out.push_back(fmt::format("{}: {}", key, what));
  if (keys.is_true("is_encoder_decoder"))
    model.left_out.push_back("is_encoder_decoder: the encoder and the attention to it are left out");
}

}  // namespace

Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, kMostConfigBytes, NonFinite::read_as_null));
  const JsonObject root(json, fmt::format("{}:", where));
  METALLIC_TRY(const JsonObject object, language_model(root));
  const ConfigKeys keys(object);
  METALLIC_CHECK(refuse_unknown_kinds(keys));

  ModelConfig model{.name = std::string(name)};
  METALLIC_TRY(model.hidden, keys.number({"hidden_size", "n_embd", "n_embed", "d_model", "dim"}, kWidest));
  // Of an encoder and a decoder, num_hidden_layers is of the encoder.
  METALLIC_TRY(model.layers, keys.given({"decoder_layers", "num_decoder_layers"})
                                 ? keys.number({"decoder_layers", "num_decoder_layers"}, kMostHeads)
                                 : keys.number({"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, kMostHeads));
  METALLIC_TRY(model.vocabulary, keys.number({"vocab_size", "padded_vocab_size"}, kLargest));
  METALLIC_TRY(model.context, keys.number({"max_position_embeddings", "n_positions", "max_target_positions", "max_seq_len",
                                           "max_sequence_length", "seq_length", "n_ctx"},
                                          kLargest));
  model.causal = !is_encoder(keys);
  model.dtype = dtype_of(object);
  if (!model.dtype) model.dtype = dtype_of(root);
  METALLIC_CHECK(read_attention(keys, model));
  METALLIC_CHECK(read_feed_forward(keys, model));
  list_left_out(keys, model);
  return model;
}

}  // namespace metallic
