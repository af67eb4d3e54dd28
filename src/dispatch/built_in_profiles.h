// SPDX-License-Identifier: Apache-2.0
// Built-in profiles: rules measured in advance, on the same kind of device or on another of its family.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/info.h"
#include "dispatch/select.h"
#include "profile/profile.h"

namespace metallic {

struct BuiltInProfile {
  std::string name;  ///< of its file in dispatch/profiles, without extension
  Profile profile;
};

/// The profiles of dispatch/profiles, parsed once.
std::span<const BuiltInProfile> built_in_profiles();

/// The profiles that apply to a device, as levels in order of precedence. Profiles of devices with an equal fingerprint come
/// first. Then come all of its family or, if that has none, of the nearest family that its ISA contains. In each of the two
/// groups, profiles measured for `model` come first. Pure.
std::vector<ProfileLevel> built_in_levels(std::span<const BuiltInProfile> available, const DeviceInfo& device,
                                          std::string_view model = {});

}  // namespace metallic
