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

/// The profile as it would be installed at a path. It keeps the rule lists and thresholds of the profile already there for
/// everything that it does not cover itself. Tuning one operation or type thus does not lose the others.
Profile joined_with_installed(Profile profile, const std::filesystem::path& path, const DeviceInfo& device);

/// Installs a profile, joined with the installed one, as its model's and as any.json. An error may leave only some of the files
/// installed, but each is complete. Keeps the replaced profiles in the folder `previous` beside them, in place of its earlier
/// contents.
Status install_profile(const Profile& profile, const DeviceInfo& device, const Lookup& environment);

/// A profile that the last install replaced.
struct Replaced {
  std::string model;               ///< a model's name, or "any"
  std::filesystem::path path;      ///< of the installed profile
  std::optional<Profile> profile;  ///< the replaced one; nothing if there was none
};

/// What a rollback would restore. An error if nothing was installed before the last install.
Result<std::vector<Replaced>> replaced_profiles(const DeviceInfo& device, const Lookup& environment);

/// Swaps the installed profiles with those replaced by the last install; a second rollback undoes the first.
Status rollback_profiles(const DeviceInfo& device, const Lookup& environment);

}  // namespace metallic
