// SPDX-License-Identifier: Apache-2.0
// Parses config.json and names models.
#include "tuner/workloads/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/json.h"
#include "tuner/workloads/built_in_models.h"

namespace metallic {
namespace {

constexpr size_t kMostBytes = 1 << 20;
constexpr int64_t kWidest = 1 << 20;   // hidden and feed-forward sizes
constexpr int64_t kLargest = 1 << 24;  // vocabularies and contexts
constexpr int64_t kMostHeads = 65536;  // heads and layers

// Model types without a gate: their config.json does not say so.
constexpr std::array<std::string_view, 8> kUngated = {"codegen", "gpt2",     "gpt_bigcode", "gpt_neox",
                                                      "gptj",    "nemotron", "phi",         "starcoder2"};

bool looks_like_path(std::string_view argument) {
  return argument.find('/') != std::string_view::npos || argument.ends_with(".json");
}

bool given(const JsonObject& object, const char* key) { return object.has(key) && !object.value()[key].is_null(); }

// A whole number from 1 under its usual name or its name in GPT-2.
Result<int64_t> dimension(const JsonObject& object, const char* usual, const char* of_gpt2, int64_t high) {
  return object.integer(given(object, of_gpt2) && !given(object, usual) ? of_gpt2 : usual, 1, high);
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const BuiltInModel& model : built_in_models()) names.emplace_back(model.name);
  return names;
}

Result<ModelConfig> find_model(std::string_view name_or_path) {
  for (const BuiltInModel& model : built_in_models())
    if (model.name == name_or_path) return parse_model(model.text, model.name, model.name);
  if (!looks_like_path(name_or_path))
    return fail(Code::not_found, "unknown model {}: use {} or the path of a config.json", in_quotes(name_or_path),
                fmt::join(model_names(), ", "));
  METALLIC_TRY(const std::string text, read_file(name_or_path, kMostBytes));
  return parse_model(text, model_name(name_or_path), name_or_path);
}

std::string model_name(std::string_view name_or_path) {
  constexpr size_t kLongest = 64;
  std::error_code error;
  if (!looks_like_path(name_or_path) || !std::filesystem::is_regular_file(name_or_path, error)) return std::string(name_or_path);
  const std::filesystem::path path = std::filesystem::absolute(name_or_path, error).lexically_normal();
  std::string name = path.stem();
  if (name == "config") {
    const std::filesystem::path folder = path.parent_path(), above = folder.parent_path();
    if (above.filename() == "snapshots") {  // models--<owner>--<name>/snapshots/<commit>/config.json
      name = above.parent_path().filename();
      if (const size_t owner = name.rfind("--"); owner != std::string::npos) name.erase(0, owner + 2);
    } else if (folder.has_filename()) {
      name = folder.filename();
    }
  }
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (!fine) c = '-';
  }
  name.erase(0, name.find_first_not_of('.'));
  name.resize(std::min(name.size(), kLongest));
  return name.empty() ? "config" : name;
}

Result<ModelConfig> parse_model(std::string_view text, std::string_view name, std::string_view where) {
  METALLIC_TRY(const Json json, parse_json(text, where, kMostBytes));
  const JsonObject root(json, fmt::format("{}:", where));
  const bool nested = root.has("text_config") && !root.has("hidden_size") && !root.has("n_embd");
  METALLIC_TRY(const JsonObject object, nested ? root.object("text_config") : Result<JsonObject>(root));

  ModelConfig model{.name = std::string(name)};
  METALLIC_TRY(model.hidden, dimension(object, "hidden_size", "n_embd", kWidest));
  METALLIC_TRY(model.heads, dimension(object, "num_attention_heads", "n_head", kMostHeads));
  METALLIC_TRY(model.layers, dimension(object, "num_hidden_layers", "n_layer", kMostHeads));
  METALLIC_TRY(model.vocabulary, object.integer("vocab_size", 1, kLargest));
  METALLIC_TRY(model.context, dimension(object, "max_position_embeddings", "n_positions", kLargest));

  const bool gpt2 = given(object, "n_embd");
  if (gpt2 && !given(object, "n_inner") && !given(object, "intermediate_size")) {
    model.intermediate = 4 * model.hidden;
  } else {
    METALLIC_TRY(model.intermediate, dimension(object, "intermediate_size", "n_inner", kWidest));
  }
  model.gated = !gpt2;
  if (given(object, "model_type")) {
    METALLIC_TRY(const std::string type, object.text("model_type"));
    model.gated = model.gated && std::ranges::find(kUngated, type) == kUngated.end();
  }

  model.kv_heads = model.heads;
  if (given(object, "num_key_value_heads")) {
    METALLIC_TRY(model.kv_heads, object.integer("num_key_value_heads", 1, model.heads));
  }
  if (model.heads % model.kv_heads != 0)
    return fail(Code::invalid_argument, "{} num_key_value_heads is {}: expected a divisor of num_attention_heads, {}",
                object.path(), model.kv_heads, model.heads);
  model.head_dim = model.hidden / model.heads;
  if (given(object, "head_dim")) {
    METALLIC_TRY(model.head_dim, object.integer("head_dim", 1, kMostHeads));
  } else if (model.hidden % model.heads != 0) {
    return fail(Code::invalid_argument, "{} head_dim is missing: {} heads do not divide the hidden size {}", object.path(),
                model.heads, model.hidden);
  }
  if (model.heads * model.head_dim > kWidest)
    return fail(Code::invalid_argument, "{} head_dim is {}: use at most {} for all {} heads together", object.path(),
                model.head_dim, kWidest, model.heads);
  return model;
}

}  // namespace metallic
