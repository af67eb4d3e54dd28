// SPDX-License-Identifier: Apache-2.0
#include "dispatch/profile_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>

#include "base/file.h"
#include "base/file_changes.h"
#include "base/file_lock.h"
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

// An empty text is no profile.
Result<Profile> parse_for(const DeviceInfo& device, std::string_view text, const std::filesystem::path& path) {
  METALLIC_TRY(Profile profile, parse_profile(text, path.native()));
  if (profile.fingerprint != fingerprint(device))
    return fail(Code::invalid_argument, "{}: fingerprint {} is another device's: this one is {}", path.native(),
                in_quotes(profile.fingerprint), fingerprint(device));
  return profile;
}

// The names of the predecessors that the last install kept, in the order of the alphabet.
Result<std::vector<std::filesystem::path>> kept_names(const std::filesystem::path& any) {
  const std::filesystem::path folder = previous_of(any).parent_path();
  std::vector<std::filesystem::path> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::filesystem::path name = at->path().filename();
    if (name.extension() == ".json" && check_model_name(name.stem().native())) names.push_back(name);
  }
  if (error && error != std::errc::no_such_file_or_directory) return file_error("read", folder, error.value());
  std::ranges::sort(names);
  return names;
}

// Locks the folder for a writer and tidies up after writers that died. Each writer changes any.json, so its lock is the folder's.
Result<std::optional<FileLock>> lock_folder(const std::filesystem::path& any, bool dry_run) {
  if (dry_run) return std::nullopt;
  METALLIC_TRY(FileLock lock, FileLock::take(any));
  METALLIC_CHECK(finish_changes(any.parent_path()));
  remove_leftovers(any.parent_path());
  return lock;
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
  return parse_for(device, text, path);
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

namespace {

// The new profile, with what the installed one has beyond it.
Profile joined(Profile profile, std::optional<Profile> installed, const DeviceInfo& device) {
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

// Reads nothing from a text that is no profile of this device.
std::optional<Profile> readable(const std::string& text, const std::filesystem::path& path, const DeviceInfo& device) {
  auto profile = parse_for(device, text, path);
  return profile ? std::optional(std::move(*profile)) : std::nullopt;
}

}  // namespace

Result<std::vector<ProfileChange>> install_profile(const Profile& profile, const DeviceInfo& device, const Lookup& environment,
                                                   bool dry_run) {
  METALLIC_CHECK(check_model_name(profile.model));
  const auto own = profile_path(device, profile.model, environment), any = profile_path(device, "any", environment);
  if (!own) return no_home();
  METALLIC_TRY(const auto lock, lock_folder(*any, dry_run));
  std::vector<ProfileChange> changed;
  FileChanges files;
  METALLIC_TRY(const auto kept, kept_names(*any));
  for (const auto& name : kept) files["previous" / name] = std::nullopt;
  for (const auto& path : std::set{*own, *any}) {
    METALLIC_TRY(const std::string before, read_or_empty(path));
    ProfileChange one{.model = path.stem(), .path = path, .before = readable(before, path, device), .after = std::nullopt};
    one.after = joined(profile, one.before, device);
    const std::string after = to_json(*one.after);
    METALLIC_CHECK(parse_profile(after, path.native()));  // it must stay within the limits of a profile
    files["previous" / path.filename()] = before;
    files[path.filename()] = after;
    changed.push_back(std::move(one));
  }
  if (!dry_run) METALLIC_CHECK(change_files(any->parent_path(), files));
  return changed;
}

Result<std::vector<ProfileChange>> rollback_profiles(const DeviceInfo& device, const Lookup& environment, std::string_view model,
                                                     bool dry_run) {
  const auto any = profile_path(device, "any", environment);
  if (!any) return no_home();
  METALLIC_TRY(const auto lock, lock_folder(*any, dry_run));
  std::vector<ProfileChange> changed;
  FileChanges files;
  METALLIC_TRY(const auto kept, kept_names(*any));
  for (const auto& name : kept) {
    const std::filesystem::path path = any->parent_path() / name;
    METALLIC_TRY(const std::string now, read_or_empty(path));
    METALLIC_TRY(const std::string then, read_or_empty(previous_of(path)));
    ProfileChange one{.model = path.stem(), .path = path, .before = readable(now, path, device), .after = std::nullopt};
    if (!then.empty()) {
      METALLIC_TRY(one.after, parse_for(device, then, previous_of(path)));
    }
    files["previous" / name] = now;
    files[name] = then.empty() ? std::nullopt : std::optional(then);
    changed.push_back(std::move(one));
  }
  if (std::ranges::none_of(changed, [](const ProfileChange& one) { return one.after.has_value(); }))
    return fail(Code::not_found, "no profile was installed before the present one: there is nothing in {} to go back to",
                previous_of(*any).parent_path().native());
  if (!model.empty() && std::ranges::find(changed, model, &ProfileChange::model) == changed.end())
    return fail(Code::not_found, "the last install was not for model {}: apply --rollback without a file undoes it", model);
  if (!dry_run) METALLIC_CHECK(change_files(any->parent_path(), files));
  return changed;
}

}  // namespace metallic
