// SPDX-License-Identifier: Apache-2.0
#include "dispatch/built_in_profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace metallic {

std::vector<std::pair<std::string_view, std::string_view>> built_in_profile_texts();  // generated

std::span<const BuiltInProfile> built_in_profiles() {
  static const std::vector<BuiltInProfile> profiles = [] {
    std::vector<BuiltInProfile> parsed;
    // A test checks that each one parses. If one did not, that would be no reason to refuse a context.
    for (const auto& [name, text] : built_in_profile_texts())
      if (auto profile = parse_profile(text, name)) parsed.push_back({std::string(name), std::move(*profile)});
    return parsed;
  }();
  return profiles;
}

std::vector<ProfileLevel> built_in_levels(std::span<const BuiltInProfile> available, const DeviceInfo& device,
                                          std::string_view model) {
  std::vector<ProfileLevel> levels;
  for (const auto& [name, profile] : available)
    if (profile.fingerprint == fingerprint(device))
      levels.push_back({Source::device, fmt::format("built-in profile {} of this device", name), profile});
  for (const std::string& wanted : families(device)) {
    const size_t before = levels.size();
    for (const auto& [name, profile] : available)
      if (family(profile.device) == wanted)
        levels.push_back({Source::family,
                          fmt::format("built-in profile of family {}, measured on {}", wanted, profile.device.model), profile});
    if (levels.size() > before) break;
  }
  std::ranges::stable_sort(levels, {}, [&](const ProfileLevel& level) {
    return std::pair(level.source, level.profile.model != model);  // sources are in order of precedence
  });
  return levels;
}

}  // namespace metallic
