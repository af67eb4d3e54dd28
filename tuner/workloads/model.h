// Models: public configurations as Hugging Face writes them, built in or read from a config.json.
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
  bool gated = true;    ///< whether the feed-forward part multiplies a gate with what it projects up
};

/// The model that is meant where none is named.
inline constexpr std::string_view kDefaultModel = "llama-3.1-8b";

/// The names of the configurations that are built in.
std::vector<std::string> model_names();

/// The configuration of a built-in name, or of the path of a config.json: an argument that holds a '/' or ends in ".json".
/// Errors: a name that is neither (the known ones are listed), a file that cannot be read or is over 1 MiB, what
/// `parse_model` refuses.
Result<ModelConfig> find_model(std::string_view name_or_path);

/// The name a model's profile goes by: that of a config.json is its stem, or its folder's name where the stem is "config" (in
/// Hugging Face's cache the model's, without its owner), in lower case and with '-' for all but letters, digits, '.', '_'
/// and '-'. What is not the path of a file stays as it is.
std::string model_name(std::string_view name_or_path);

/// A configuration from the text of a config.json of at most 1 MiB, or from its text_config where the model has other parts
/// too. Missing num_key_value_heads is num_attention_heads, missing head_dim is hidden_size / num_attention_heads. GPT-2's
/// names are known (n_embd, n_head, n_layer, n_positions, n_inner, by default four times n_embd). Errors name file and field.
Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where);

}  // namespace metallic
