// SPDX-License-Identifier: Apache-2.0
// Levels: the sources of rules for problems of one key, from the highest precedence down.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "device/info.h"
#include "dispatch/environment.h"
#include "ops/decision.h"
#include "ops/operation.h"
#include "ops/rule.h"
#include "profile/profile.h"

namespace metallic {

/// The options of a single call.
struct CallOptions {
  std::string variant;               ///< a variant's full name to force, or empty
  std::optional<Numerics> numerics;  ///< overrides the environment's
  bool operator==(const CallOptions&) const = default;
};

/// A profile and where it came from, for the record. Profiles of source `family` are from other machines. Their lists count for
/// any number of threads; the list with the nearest number comes first.
struct ProfileLevel {
  Source source;
  std::string path;  ///< or a description of the built-in profile
  Profile profile;
};

struct SelectionInputs {
  const DeviceInfo& device;
  const Environment& environment;
  const CallOptions& options;
  /// In order of precedence: the caller's, the user's, then the built-in ones.
  std::span<const ProfileLevel> profiles;

  Numerics numerics() const { return options.numerics.value_or(environment.numerics); }
};

/// Rejects names in the environment that are no variant of the device; the error lists the allowed ones.
Status check_names(const Environment& environment, const DeviceInfo& device);

/// The rule of a forced candidate, `variant` or `variant@tuning`. Its `use` is empty if the text is the short name of a family.
Result<Rule> forced_rule(Op op, std::string_view text, const DeviceInfo& device, std::string_view where);

/// The rules of one level, and its name in the record.
struct Level {
  Source source;
  std::string origin;  ///< "METALLIC_SOFTMAX_VARIANT=block", a profile's path, "built-in"
  std::vector<Rule> rules;
  std::string family{};  ///< if not empty, only variants of this family count ("mlx" selects the GEMM family)
  bool forced = false;   ///< names one variant regardless of the problem
};

/// All levels of a key: environment › options › profiles › built-in rules › what runs if all others reject.
Result<std::vector<Level>> rule_levels(const RuleKey& key, const SelectionInputs& in);

}  // namespace metallic
