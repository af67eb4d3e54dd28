// SPDX-License-Identifier: Apache-2.0
// Where profiles are stored: $XDG_DATA_HOME/metallic/<fingerprint>/<model>.json, and any.json for contexts that name no model.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "device/info.h"
#include "dispatch/environment.h"
#include "profile/profile.h"

namespace metallic {

/// The path of a model's profile ("any" for none), whether or not it exists. Nothing if neither XDG_DATA_HOME nor HOME is set.
std::optional<std::filesystem::path> profile_path(const DeviceInfo& device, std::string_view model, const Lookup& environment);

/// Model names become file names: letters, digits, '.', '_' and '-', not starting with '.', at most 64.
Status check_model_name(std::string_view model);

/// Reads a profile; rejects one that belongs to another device.
Result<Profile> load_profile(const std::filesystem::path& path, const DeviceInfo& device);

/// The names of variants and tunings that this build lacks, one line each.
std::vector<std::string> stale_entries(const Profile& profile);

/// Removes rules that name a library, unless the device has it in the version that the profile was measured with. Returns one
/// line for each library, which says what was removed.
std::vector<std::string> drop_stale_libraries(Profile& profile, const DeviceInfo& device);

/// What an install or a rollback does to one installed profile.
struct ProfileChange {
  std::string model;                     ///< a model's name, or "any"
  std::filesystem::path path;            ///< of the installed profile
  std::optional<Profile> before, after;  ///< nothing if there is none, or none that can be read
};

/// Installs a profile as its model's and as any.json. Both keep the rule lists and thresholds of the profile already there for
/// everything that the new one does not cover itself. Tuning one operation or type thus does not lose the others. The replaced
/// profiles go to the folder `previous` beside them, in place of its earlier contents.
///
/// Writers take turns: each waits for the others, and an error says if one takes too long. All files change or none, even if the
/// process is killed: the next writer finishes what it finds. With `dry_run` nothing is written and nobody waits.
Result<std::vector<ProfileChange>> install_profile(const Profile& profile, const DeviceInfo& device, const Lookup& environment,
                                                   bool dry_run = false);

/// Swaps the installed profiles with those replaced by the last install; a second rollback undoes the first. An error if nothing
/// was installed before the last install, or if that was for another model than `model` (empty: any). Writes like an install.
Result<std::vector<ProfileChange>> rollback_profiles(const DeviceInfo& device, const Lookup& environment,
                                                     std::string_view model = {}, bool dry_run = false);

}  // namespace metallic
