// SPDX-License-Identifier: Apache-2.0
// Installs and rolls back profiles, and lists the rules that change.
#include "tools/metallic/install.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "dispatch/profile_store.h"

namespace metallic::cli {
namespace {

// The rules of a profile, each with its key on one line.
using RuleLines = std::set<std::string>;

RuleLines rule_lines(const std::optional<Profile>& profile) {
  RuleLines lines;
  if (!profile) return lines;
  for (const RuleList& list : profile->lists)
    for (const Rule& rule : list.rules) lines.insert(fmt::format("{}: {}", key_text(list.key), to_string(rule)));
  return lines;
}

std::vector<std::string> rule_changes(const ProfileChange& change) {
  const RuleLines before = rule_lines(change.before), after = rule_lines(change.after);
  std::vector<std::string> changes;
  for (const std::string& rule : before)
    if (!after.contains(rule)) changes.push_back("- " + rule);
  for (const std::string& rule : after)
    if (!before.contains(rule)) changes.push_back("+ " + rule);
  return changes;
}

}  // namespace

std::string key_text(const RuleKey& key) {
  return fmt::format("{} {} {} threads={}", name(key.op), name(key.dtype), key.layout, key.threads);
}

Result<std::filesystem::path> installed_path(const Context& context, std::string_view model) {
  METALLIC_CHECK(check_model_name(model));
  const auto path = profile_path(context.device(), model, context.lookup());
  if (!path) return fail(Code::invalid_argument, "neither XDG_DATA_HOME nor HOME is set: set one of them to install profiles");
  return *path;
}

Result<std::vector<std::string>> install(Profile profile, const Context& context, bool force, bool dry_run) {
  const std::string here = fingerprint(context.device());
  if (profile.fingerprint == "unknown" && !force)
    return fail(Code::invalid_argument,
                "the profile does not say which device it was measured on: add --force to install it for this one");
  if (profile.fingerprint != "unknown" && profile.fingerprint != here)
    return fail(Code::invalid_argument, "the profile is for {}, this device is {}: tune this one instead",
                in_quotes(profile.fingerprint), here);
  if (!profile.paired && !force)
    return fail(Code::invalid_argument, "the profile was made from unpaired results: run metallic tune, or add --force");
  if (profile.busy && !force)
    return fail(Code::invalid_argument, "the profile was measured on a busy machine: tune again when it is idle, or add --force");
  if (const auto stale = stale_entries(profile); !stale.empty() && !force)
    return fail(Code::invalid_argument, "the profile is from another build: {}: tune again, or add --force", stale.front());
  profile.fingerprint = here;
  const auto libraries = std::move(profile.device.libraries);  // those of the measurement
  profile.device = context.device();
  profile.device.libraries = libraries;

  METALLIC_TRY(const auto path, installed_path(context, profile.model));
  METALLIC_TRY(const auto changed, install_profile(profile, context.device(), context.lookup(), dry_run));
  std::vector<std::string> changes = rule_changes(*std::ranges::find(changed, path, &ProfileChange::path));
  changes.push_back(fmt::format("{} {}", dry_run ? "would write" : "installed", path.native()));
  return changes;
}

Result<std::vector<std::string>> rollback(const Context& context, const std::string& model, bool dry_run) {
  METALLIC_TRY(const auto changed, rollback_profiles(context.device(), context.lookup(), model, dry_run));
  std::vector<std::string> changes;
  // The profiles of the model and of any model are usually equal: each change is listed once.
  for (const ProfileChange& one : changed)
    for (std::string& change : rule_changes(one))
      if (std::ranges::find(changes, change) == changes.end()) changes.push_back(std::move(change));
  for (const ProfileChange& one : changed)
    changes.push_back(fmt::format("{} {}{}",
                                  one.after ? (dry_run ? "would restore" : "restored") : (dry_run ? "would remove" : "removed"),
                                  one.path.native(), one.after ? "" : ": nothing was installed before"));
  return changes;
}

}  // namespace metallic::cli
