// SPDX-License-Identifier: Apache-2.0
// Finds models and names them.
#include "tuner/workloads/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/file.h"
#include "tuner/workloads/built_in_models.h"
#include "tuner/workloads/config_parts.h"

namespace metallic {
namespace {

bool looks_like_path(std::string_view argument) {
  return argument.find('/') != std::string_view::npos || argument.ends_with(".json");
}

// The file that an argument means: itself, or the config.json of a folder. Empty if it is the name of a model.
std::filesystem::path config_path(std::string_view argument) {
  std::error_code error;
  const std::filesystem::path path = argument, within = path / "config.json";
  if (!argument.empty() && std::filesystem::is_regular_file(within, error)) return within;
  return looks_like_path(argument) ? path : std::filesystem::path();
}

bool is_built_in(std::string_view name) {
  return std::ranges::any_of(built_in_models(), [&](const BuiltInModel& model) { return model.name == name; });
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
  const std::filesystem::path path = config_path(name_or_path);
  if (path.empty())
    return fail(Code::not_found, "unknown model {}: use {} or the path of a config.json", in_quotes(name_or_path),
                fmt::join(model_names(), ", "));
  METALLIC_TRY(const std::string text, read_file(path, kMostConfigBytes));
  return parse_model(text, model_name(name_or_path), path.native());
}

std::string model_name(std::string_view name_or_path) {
  constexpr size_t kLongest = 64;
  std::error_code error;
  const std::filesystem::path file = config_path(name_or_path);
  if (is_built_in(name_or_path) || !std::filesystem::is_regular_file(file, error)) return std::string(name_or_path);
  const std::filesystem::path path = std::filesystem::absolute(file, error).lexically_normal();
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

}  // namespace metallic
