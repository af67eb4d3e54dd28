// SPDX-License-Identifier: Apache-2.0
// Models: configurations in the format of Hugging Face, built in or read from a config.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace metallic {

struct ModelConfig {
  std::string name;
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  ///< divides heads
  int64_t head_dim = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;  ///< longest sequence
  bool gated = true;    ///< whether the feed-forward part has a gate projection
};

/// The model if none is named.
inline constexpr std::string_view kDefaultModel = "llama-3.1-8b";

/// The names of the built-in models.
std::vector<std::string> model_names();

/// The configuration of a built-in model or of a config.json; an argument with a '/' or that ends in ".json" is a path. Errors:
/// an unknown name (the message lists the known ones), a file that is unreadable or over 1 MiB, those of `parse_model`.
Result<ModelConfig> find_model(std::string_view name_or_path);

/// The name of a model's profile. For a config.json it is the stem of the path, or the folder's name if the stem is "config" (in
/// the cache of Hugging Face the model's name, without its owner), in lower case, with '-' for all characters but letters,
/// digits,
/// '.', '_' and '-'. An argument that is not the path of a file stays as it is.
std::string model_name(std::string_view name_or_path);

/// Parses a config.json of at most 1 MiB, or its text_config if the model is multimodal. A missing num_key_value_heads equals
/// num_attention_heads; a missing head_dim is hidden_size / num_attention_heads. Also accepts the names of GPT-2: n_embd, n_head,
/// n_layer, n_positions, and n_inner, by default 4·n_embd. Errors name the file and the field.
Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where);

}  // namespace metallic
