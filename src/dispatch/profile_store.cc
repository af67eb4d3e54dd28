// SPDX-License-Identifier: Apache-2.0
#include "dispatch/profile_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "ops/registry.h"

namespace metallic {

namespace {

tl::unexpected<Error> no_home() {
  return fail(Code::invalid_argument, "neither XDG_DATA_HOME nor HOME is set: set one to say where profiles live");
}

// Where the predecessor of an installed profile is stored. An empty file means no predecessor, so that a rollback of a model's
// first profile removes it.
std::filesystem::path previous_of(const std::filesystem::path& installed) {
  return installed.parent_path() / "previous" / installed.filename();
}

Result<std::string> read_or_empty(const std::filesystem::path& path) {
  auto text = read_file(path, Profile::kMostBytes);
  if (!text && text.error().code == Code::not_found) return std::string();
  return text;
}

// Saves the contents of these paths, and deletes the other files that an earlier install saved.
Status keep_previous(const std::vector<std::filesystem::path>& paths) {
  for (const auto& path : paths) {
    METALLIC_TRY(const std::string text, read_or_empty(path));
    METALLIC_CHECK(write_file(previous_of(path), text));
  }
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(previous_of(paths.front()).parent_path(), failed))
    if (std::ranges::find(paths, entry.path().filename(), &std::filesystem::path::filename) == paths.end())
      std::filesystem::remove(entry.path(), failed);
  return {};
}

}  // namespace

std::optional<std::filesystem::path> profile_path(const DeviceInfo& device, std::string_view model, const Lookup& environment) {
  const auto folder = [&]() -> std::optional<std::filesystem::path> {
    // The XDG specification says to ignore relative paths.
    if (const auto data = environment("XDG_DATA_HOME"); data && data->starts_with('/')) return std::filesystem::path(*data);
    if (const auto home = environment("HOME"); home && !home->empty()) return std::filesystem::path(*home) / ".local/share";
    return std::nullopt;
  }();
  if (!folder) return std::nullopt;
  return *folder / "metallic" / fingerprint(device) / fmt::format("{}.json", model.empty() ? "any" : model);
}

Status check_model_name(std::string_view model) {
  const bool fine = !model.empty() && model.size() <= 64 && model[0] != '.' && std::ranges::all_of(model, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
  if (fine) return {};
  return fail(Code::invalid_argument, "model name {}: use letters, digits, '.', '_' and '-', at most 64", in_quotes(model));
}

Result<Profile> load_profile(const std::filesystem::path& path, const DeviceInfo& device) {
  METALLIC_TRY(const std::string text, read_file(path, Profile::kMostBytes));
  METALLIC_TRY(Profile profile, parse_profile(text, path.native()));
  if (profile.fingerprint != fingerprint(device))
    return fail(Code::invalid_argument, "{}: fingerprint {} is another device's: this one is {}", path.native(),
                in_quotes(profile.fingerprint), fingerprint(device));
  return profile;
}

namespace {

// Why this build cannot follow a rule, or nothing.
std::optional<std::string> staleness(Op op, const Rule& rule) {
  const Variant* variant = find_variant(op, rule.use);
  if (!variant) return fmt::format("{} has no variant {}", name(op), in_quotes(rule.use));
  if (!rule.tuning.empty() && !find_tuning(*variant, rule.tuning))
    return fmt::format("{} has no tuning {}", rule.use, in_quotes(rule.tuning));
  return std::nullopt;
}

}  // namespace

std::vector<std::string> stale_entries(const Profile& profile) {
  std::vector<std::string> stale;
  for (const RuleList& list : profile.lists)
    for (const Rule& rule : list.rules)
      if (auto why = staleness(list.key.op, rule)) stale.push_back(std::move(*why));
  return stale;
}

std::vector<std::string> drop_stale_libraries(Profile& profile, const DeviceInfo& device) {
  std::map<std::string_view, size_t> dropped;
  for (RuleList& list : profile.lists)
    std::erase_if(list.rules, [&](const Rule& rule) {
      const Variant* variant = find_variant(list.key.op, rule.use);
      if (!variant || variant->library().empty()) return false;
      const Library* then = find_library(profile.device.libraries, variant->library());
      const Library* now = find_library(device.libraries, variant->library());
      if (then && now && then->version == now->version) return false;
      ++dropped[variant->library()];
      return true;
    });
  const auto version = [](const std::vector<Library>& libraries, std::string_view name) {
    const Library* library = find_library(libraries, name);
    return library ? in_quotes(library->version) : "none";
  };
  std::vector<std::string> stale;
  for (const auto& [name, rules] : dropped)
    stale.push_back(fmt::format("measured with {} {}, this machine has {}: {} rule{} ignored", name,
                                version(profile.device.libraries, name), version(device.libraries, name), rules,
                                rules == 1 ? " is" : "s are"));
  return stale;
}

Profile joined_with_installed(Profile profile, const std::filesystem::path& path, const DeviceInfo& device) {
  auto installed = load_profile(path, device);
  if (!installed) return profile;
  // Rules of a library stay unless the new profile has another version of it.
  DeviceInfo now = device;
  now.libraries = profile.device.libraries;
  for (const Library& library : installed->device.libraries)
    if (!find_library(now.libraries, library.name)) now.libraries.push_back(library);
  drop_stale_libraries(*installed, now);
  // Drop rules that this build does not know: every context would warn about them.
  for (RuleList& list : installed->lists)
    std::erase_if(list.rules, [&](const Rule& rule) { return staleness(list.key.op, rule).has_value(); });
  // Compares all of the key except the numerics, which a threshold lacks.
  const auto same = [](const RuleKey& key, const Threshold& threshold) {
    return key.op == threshold.op && key.dtype == threshold.dtype && key.threads == threshold.threads &&
           key.layout == threshold.layout;
  };
  for (const RuleList& list : installed->lists) {
    if (std::ranges::find(profile.lists, list.key, &RuleList::key) != profile.lists.end()) continue;
    profile.lists.push_back(list);
    profile.paired = profile.paired && installed->paired;
    for (const Threshold& threshold : installed->thresholds)
      if (list.key.numerics == Numerics::fast && same(list.key, threshold)) profile.thresholds.push_back(threshold);
  }
  profile.device.libraries = now.libraries;
  return profile;
}

Status install_profile(const Profile& profile, const DeviceInfo& device, const Lookup& environment) {
  METALLIC_CHECK(check_model_name(profile.model));
  const auto own = profile_path(device, profile.model, environment), any = profile_path(device, "any", environment);
  if (!own) return no_home();
  std::vector<std::filesystem::path> paths = {*own};
  if (*any != *own) paths.push_back(*any);
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    texts.push_back(to_json(joined_with_installed(profile, path, device)));
    METALLIC_CHECK(parse_profile(texts.back(), path.native()));  // it must stay within the limits of a profile
  }
  METALLIC_CHECK(keep_previous(paths));
  for (size_t i = 0; i < paths.size(); ++i) METALLIC_CHECK(write_file(paths[i], texts[i]));
  return {};
}

Result<std::vector<Replaced>> replaced_profiles(const DeviceInfo& device, const Lookup& environment) {
  const auto any = profile_path(device, "any", environment);
  if (!any) return no_home();
  std::vector<Replaced> replaced;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(previous_of(*any).parent_path(), failed)) {
    const std::filesystem::path& kept = entry.path();
    if (kept.extension() != ".json" || !check_model_name(kept.stem().native())) continue;
    Replaced one{.model = kept.stem(), .path = any->parent_path() / kept.filename(), .profile = std::nullopt};
    METALLIC_TRY(const std::string text, read_file(kept, Profile::kMostBytes));
    if (!text.empty()) {
      METALLIC_TRY(one.profile, load_profile(kept, device));
    }
    replaced.push_back(std::move(one));
  }
  std::ranges::sort(replaced, {}, &Replaced::model);
  if (std::ranges::none_of(replaced, [](const Replaced& one) { return one.profile.has_value(); }))
    return fail(Code::not_found, "no profile was installed before the present one: there is nothing in {} to go back to",
                previous_of(*any).parent_path().native());
  return replaced;
}

Status rollback_profiles(const DeviceInfo& device, const Lookup& environment) {
  METALLIC_TRY(const auto replaced, replaced_profiles(device, environment));
  // First save what is installed now: if a later step fails, each profile is still in one of the two places.
  std::vector<std::string> before;
  for (const Replaced& one : replaced) {
    METALLIC_TRY(std::string text, read_file(previous_of(one.path), Profile::kMostBytes));
    METALLIC_TRY(const std::string now, read_or_empty(one.path));
    before.push_back(std::move(text));
    METALLIC_CHECK(write_file(previous_of(one.path), now));
  }
  for (size_t i = 0; i < replaced.size(); ++i) {
    const auto& path = replaced[i].path;
    if (!before[i].empty()) {
      METALLIC_CHECK(write_file(path, before[i]));
      continue;
    }
    std::error_code failed;
    std::filesystem::remove(path, failed);
    if (failed) return fail(Code::io, "cannot remove {}: {}", path.native(), failed.message());
  }
  return {};
}

}  // namespace metallic
