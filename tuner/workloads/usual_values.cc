// SPDX-License-Identifier: Apache-2.0
// The values that transformers does not write. A nested configuration holds only what differs from its type's defaults.
#include <algorithm>
#include <array>

#include "tuner/workloads/config_keys.h"

namespace metallic {
namespace {

struct UsualValue {
  std::string_view type;
  std::string_view key;
  int64_t value;
};

constexpr UsualValue kUsualValues[] = {
    {"bert", "hidden_size", 768},
    {"bert", "intermediate_size", 3072},
    {"bert", "max_position_embeddings", 512},
    {"bert", "num_attention_heads", 12},
    {"bert", "num_hidden_layers", 12},
    {"bert", "vocab_size", 30522},
    {"bloom", "max_position_embeddings", 2048},  // its positions are biases, so the file names no limit
    {"cohere2", "sliding_window_pattern", 4},
    {"falcon", "hidden_size", 4544},
    {"falcon", "max_position_embeddings", 2048},
    {"falcon", "num_attention_heads", 71},
    {"falcon", "num_hidden_layers", 32},
    {"falcon", "vocab_size", 65024},
    {"RefinedWeb", "max_position_embeddings", 2048},
    {"RefinedWebModel", "max_position_embeddings", 2048},
    {"gemma", "head_dim", 256},
    {"gemma", "hidden_size", 3072},
    {"gemma", "intermediate_size", 24576},
    {"gemma", "max_position_embeddings", 8192},
    {"gemma", "num_attention_heads", 16},
    {"gemma", "num_hidden_layers", 28},
    {"gemma", "num_key_value_heads", 16},
    {"gemma", "vocab_size", 256000},
    {"gemma2", "head_dim", 256},
    {"gemma2", "hidden_size", 2304},
    {"gemma2", "intermediate_size", 9216},
    {"gemma2", "max_position_embeddings", 8192},
    {"gemma2", "num_attention_heads", 8},
    {"gemma2", "num_hidden_layers", 26},
    {"gemma2", "num_key_value_heads", 4},
    {"gemma2", "sliding_window", 4096},
    {"gemma2", "sliding_window_pattern", 2},
    {"gemma2", "vocab_size", 256000},
    {"gemma3_text", "head_dim", 256},
    {"gemma3_text", "hidden_size", 2304},
    {"gemma3_text", "intermediate_size", 9216},
    {"gemma3_text", "max_position_embeddings", 131072},
    {"gemma3_text", "num_attention_heads", 8},
    {"gemma3_text", "num_hidden_layers", 26},
    {"gemma3_text", "num_key_value_heads", 4},
    {"gemma3_text", "sliding_window", 4096},
    {"gemma3_text", "sliding_window_pattern", 6},
    {"gemma3_text", "vocab_size", 262208},
    {"gpt2", "hidden_size", 768},
    {"gpt2", "max_position_embeddings", 1024},
    {"gpt2", "num_attention_heads", 12},
    {"gpt2", "num_hidden_layers", 12},
    {"gpt2", "vocab_size", 50257},
    {"llama", "hidden_size", 4096},
    {"llama", "intermediate_size", 11008},
    {"llama", "max_position_embeddings", 2048},
    {"llama", "num_attention_heads", 32},
    {"llama", "num_hidden_layers", 32},
    {"llama", "vocab_size", 32000},
    {"llama4_text", "sliding_window_pattern", 4},
    {"mistral", "hidden_size", 4096},
    {"mistral", "intermediate_size", 14336},
    {"mistral", "max_position_embeddings", 131072},
    {"mistral", "num_attention_heads", 32},
    {"mistral", "num_hidden_layers", 32},
    {"mistral", "num_key_value_heads", 8},
    {"mistral", "vocab_size", 32000},
    {"modernbert", "global_attn_every_n_layers", 3},
    {"modernbert", "local_attention", 128},
    {"t5", "n_positions", 512},
    {"umt5", "n_positions", 512},
};

}  // namespace

const int64_t* usual_value(std::string_view type, std::string_view key) {
  const auto* found =
      std::ranges::find_if(kUsualValues, [&](const UsualValue& each) { return each.type == type && each.key == key; });
  return found == std::end(kUsualValues) ? nullptr : &found->value;
}

}  // namespace metallic
