// SPDX-License-Identifier: Apache-2.0
// Where profiles live: $XDG_DATA_HOME/metallic/<fingerprint>/<model>.json, and any.json for contexts that name no model.
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

/// The path of a model's profile ("any" for none), whether or not it exists. Nothing where neither XDG_DATA_HOME nor HOME
/// is set.
std::optional<std::filesystem::path> profile_path(const DeviceInfo& device, std::string_view model, const Lookup& environment);

/// Model names become file names: letters, digits, '.', '_' and '-', not starting with '.', at most 64.
Status check_model_name(std::string_view model);

/// Reads a profile and refuses one that belongs to another device.
Result<Profile> load_profile(const std::filesystem::path& path, const DeviceInfo& device);

/// Names of variants and tunings that this build does not have, one line each.
std::vector<std::string> stale_entries(const Profile& profile);

/// Removes the rules that name a library which is not among the device' in the version that the profile was measured with; says
/// which, one line for each library.
std::vector<std::string> drop_stale_libraries(Profile& profile, const DeviceInfo& device);

/// The profile as it would be installed at a path: with the rule lists and thresholds of the profile that is there for what it
/// says nothing about itself, so that tuning one operation or type does not forget the others.
Profile joined_with_installed(Profile profile, const std::filesystem::path& path, const DeviceInfo& device);

/// Installs a profile, joined with what is there, as its model's and as any.json; both or, on an error, as many as were written
/// whole. What they replace is kept in the folder `previous` beside them, in place of what was kept there before.
Status install_profile(const Profile& profile, const DeviceInfo& device, const Lookup& environment);

/// What the last install put in the place of something else.
struct Replaced {
  std::string model;               ///< a model's name, or "any"
  std::filesystem::path path;      ///< of the installed profile
  std::optional<Profile> profile;  ///< what was there before; nothing where nothing was
};

/// What a rollback would bring back. An error where nothing was installed before the last install.
Result<std::vector<Replaced>> replaced_profiles(const DeviceInfo& device, const Lookup& environment);

/// Exchanges the installed profiles for those that the last install replaced; a second rollback undoes the first.
Status rollback_profiles(const DeviceInfo& device, const Lookup& environment);

}  // namespace metallic
