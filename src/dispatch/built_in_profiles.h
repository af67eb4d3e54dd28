// SPDX-License-Identifier: Apache-2.0
// Built-in profiles: rules measured beforehand, on this very kind of device or on another of its family.
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
  std::string name;  ///< of its file in dispatch/profiles, without ending
  Profile profile;
};

/// The profiles of dispatch/profiles, parsed once.
std::span<const BuiltInProfile> built_in_profiles();

/// Those that apply to a device, as levels in order of precedence: first what was measured on a device of equal fingerprint;
/// then all of its family or, where that has none, of the nearest family that its ISA contains. Of several of one level, those
/// measured for `model` come first. Pure.
std::vector<ProfileLevel> built_in_levels(std::span<const BuiltInProfile> available, const DeviceInfo& device,
                                          std::string_view model = {});

}  // namespace metallic
