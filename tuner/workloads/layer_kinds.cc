// SPDX-License-Identifier: Apache-2.0
// Counts layers by the lists, patterns and periods that configurations use.
#include "tuner/workloads/layer_kinds.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace metallic {
namespace {

constexpr int64_t kMostLayers = 65536;

enum class Kind : unsigned char { full, windowed, without };

void count(LayerKinds& kinds, Kind kind) {
  ++(kind == Kind::full ? kinds.full : kind == Kind::windowed ? kinds.windowed : kinds.without);
}

Kind kind_of(std::string_view type) {
  for (const std::string_view part : {"sliding", "local", "chunked"})
    if (type.find(part) != std::string_view::npos) return Kind::windowed;
  for (const std::string_view known : {"full_attention", "attention", "global", "global_attention", "full", "hybrid"})
    if (type == known) return Kind::full;
  return Kind::without;
}

// A list with one item a layer; a shorter one repeats.
Result<LayerKinds> from_list(const ConfigKeys& keys, int64_t layers, const char* key, Kind of_zero, Kind of_one) {
  METALLIC_TRY(const Json* list, keys.list(key));
  LayerKinds kinds{.key = key};
  for (int64_t layer = 0; layer < layers; ++layer) {
    const Json& item = (*list)[static_cast<size_t>(layer) % list->size()];
    if (item.is_string())
      count(kinds, kind_of(item.get_ref<const std::string&>()));
    else if (item == 0 || item == 1)
      count(kinds, item == 0 ? of_zero : of_one);
    else
      return keys.refuse(key, "expected a list of the types of layers");
  }
  return kinds;
}

// A letter a layer, repeated: L is local, G and * are global; Nemotron-H has other letters for layers without attention.
LayerKinds from_letters(const ConfigKeys& keys, int64_t layers, const char* key) {
  const std::string letters = keys.text({key});
  LayerKinds kinds{.key = key};
  for (int64_t layer = 0; layer < layers; ++layer) {
    const char letter = letters[static_cast<size_t>(layer) % letters.size()];
    count(kinds, letter == 'L' ? Kind::windowed : letter == 'G' || letter == '*' ? Kind::full : Kind::without);
  }
  return kinds;
}

}  // namespace

const char* window_key(const ConfigKeys& keys) {
  // Qwen names a window that it does not use.
  if (keys.is_false("use_sliding_window") || (keys.type().starts_with("qwen") && !keys.is_true("use_sliding_window")))
    return nullptr;
  const char* key = keys.given({"sliding_window", "sliding_window_size", "attention_window_size", "local_attention",
                                "attention_chunk_size", "window_size"});
  if (key == nullptr || keys.is_false(key)) return nullptr;
  // 0 and -1 also mean: none.
  const auto size = keys.number({key}, 1 << 30, -1);
  return size && *size <= 0 ? nullptr : key;
}

Result<LayerKinds> layer_kinds(const ConfigKeys& keys, int64_t layers) {
  for (const char* key : {"layer_types", "layers_block_type", "block_types", "_block_types", "attention_layers"})
    if (keys.is_list(key)) return from_list(keys, layers, key, Kind::full, Kind::full);
  if (keys.is_list("attn_type_list")) return from_list(keys, layers, "attn_type_list", Kind::without, Kind::full);
  if (keys.is_list("hybrid_layer_pattern")) return from_list(keys, layers, "hybrid_layer_pattern", Kind::full, Kind::windowed);
  if (!keys.text({"hybrid_override_pattern"}).empty()) return from_letters(keys, layers, "hybrid_override_pattern");

  if (keys.is_list("attn_layer_indices")) {
    METALLIC_TRY(const Json* list, keys.list("attn_layer_indices"));
    const int64_t full = std::min(layers, static_cast<int64_t>(list->size()));
    return LayerKinds{.full = full, .without = layers - full, .key = "attn_layer_indices"};
  }
  if (keys.given({"attn_layer_period"})) {
    METALLIC_TRY(const int64_t period, keys.number({"attn_layer_period"}, kMostLayers));
    METALLIC_TRY(const int64_t offset, keys.number_or(0, {"attn_layer_offset"}, period - 1, 0));
    const int64_t full = layers / period + (layers % period > offset);
    return LayerKinds{.full = full, .without = layers - full, .key = "attn_layer_period"};
  }
  if (keys.given({"full_attention_interval"})) {
    METALLIC_TRY(const int64_t interval, keys.number({"full_attention_interval"}, kMostLayers));
    return LayerKinds{.full = layers / interval,
                      .without = layers % interval + layers / interval * (interval - 1),
                      .key = "full_attention_interval"};
  }

  const char* window = window_key(keys);
  if (window == nullptr) return LayerKinds{.full = layers};
  if (keys.is_text("sliding_window_pattern") && !keys.text({"sliding_window_pattern"}).empty())
    return from_letters(keys, layers, "sliding_window_pattern");
  if (const char* key = keys.given({"sliding_window_pattern", "_sliding_window_pattern"})) {
    METALLIC_TRY(const int64_t pattern, keys.number({key}, kMostLayers));
    return LayerKinds{.full = layers / pattern, .windowed = layers - layers / pattern, .key = key};
  }
  if (const char* key = keys.given({"global_attn_every_n_layers"})) {
    METALLIC_TRY(const int64_t every, keys.number({key}, kMostLayers));
    const int64_t full = (layers + every - 1) / every;  // the first layer is one
    return LayerKinds{.full = full, .windowed = layers - full, .key = key};
  }
  METALLIC_TRY(const int64_t first, keys.is_true("use_sliding_window") ? keys.number_or(0, {"max_window_layers"}, kMostLayers, 0)
                                                                       : Result<int64_t>(0));
  return LayerKinds{.full = std::min(first, layers), .windowed = layers - std::min(first, layers), .key = window};
}

}  // namespace metallic
