// SPDX-License-Identifier: Apache-2.0
// Installing profiles: checks, changes of rules, rollback.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "dispatch/context.h"
#include "profile/profile.h"

namespace metallic::cli {

/// A key as text, e.g. "softmax f32 contiguous threads=2".
std::string key_text(const RuleKey& key);

/// Where the profile of a model is installed for this device.
Result<std::filesystem::path> installed_path(const Context& context, std::string_view model);

/// Installs a profile; with `dry_run` writes nothing. Returns what changed, as lines. Errors: a profile of another device;
/// without `force` also an unpaired one, one from a busy machine, of an unknown device, or with variants that this build lacks.
Result<std::vector<std::string>> install(Profile profile, const Context& context, bool force, bool dry_run);

/// Swaps the installed profiles with those that the last install replaced; with `dry_run` writes nothing. Returns what changed,
/// as lines. Errors: no previous install, or one for another model than `model` (empty: any).
Result<std::vector<std::string>> rollback(const Context& context, const std::string& model, bool dry_run);

}  // namespace metallic::cli
