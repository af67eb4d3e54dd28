// SPDX-License-Identifier: Apache-2.0
// Models: configurations in the format of Hugging Face, built in or read from a config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"

namespace metallic {

/// Q, K and V through narrow matrices (multi-head latent attention). A head of Q and K has `plain` and `rotated` elements.
struct LatentProjections {
  int64_t q_rank = 0;  ///< 0: one matrix makes Q
  int64_t kv_rank = 0;
  int64_t plain = 0;
  int64_t rotated = 0;  ///< of K, all heads share these
};

/// The attention of some layers.
struct Attention {
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;  ///< divides heads
  int64_t head_dim = 0;  ///< of Q and K
  int64_t value_dim = 0;
  int64_t window = 0;        ///< how many keys a query sees; 0: all
  bool output_gate = false;  ///< whether the projection of Q also makes a gate of the same size
  std::optional<LatentProjections> latent;
};

/// The feed-forward part of some layers: one of a layer's parts if it also has shared experts.
struct FeedForward {
  std::string_view part;  ///< empty, "experts" or "shared"
  int64_t layers = 0;
  int64_t intermediate = 0;
  bool gated = true;    ///< whether it has a gate projection
  int64_t experts = 1;  ///< matrices, of which a token uses `active`
  int64_t active = 1;
};

struct ModelConfig {
  std::string name;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t vocabulary = 0;
  int64_t context = 0;               ///< longest sequence
  bool causal = true;                ///< false: an encoder, which reads whole sequences and predicts no token
  std::optional<DType> dtype;        ///< of the weights, if the configuration says so
  std::vector<Attention> attention;  ///< one for each kind of layer, at least one
  std::vector<FeedForward> feed_forward;
  std::vector<std::string> left_out;  ///< parts of the model that no problem stands for, each with the key that says so
};

/// The model if none is named.
inline constexpr std::string_view kDefaultModel = "llama-3.1-8b";

/// The names of the built-in models.
std::vector<std::string> model_names();

/// The configuration of a built-in model, of a config.json or of the folder that has one. An argument with a '/' or that ends in
/// ".json" is a path, and so is the name of a folder with a config.json. Errors: an unknown name (the message lists the known
/// ones), a file that is unreadable or over 1 MiB, those of `parse_model`.
Result<ModelConfig> find_model(std::string_view name_or_path);

/// The name of a model's profile. For a config.json it is the stem of the path, or the folder's name if the stem is "config" (in
/// the cache of Hugging Face the model's name, without its owner), in lower case, with '-' for all characters but letters,
/// digits, '.', '_' and '-'. An argument that is no such path stays as it is.
std::string model_name(std::string_view name_or_path);

/// Parses a config.json of at most 1 MiB. Of a multimodal model it reads the language model. Knows the names that the keys had
/// over the years, and the values that the library transformers leaves out. Errors name the file and the key: one that is missing
/// or out of range, or one of a model whose shapes are not known here.
Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where);

}  // namespace metallic
