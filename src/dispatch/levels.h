// SPDX-License-Identifier: Apache-2.0
// Levels: whose rules count for problems of one key, from the highest precedence down.
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

/// What a single call asks for.
struct CallOptions {
  std::string variant;               ///< a variant's full name to force, or empty
  std::optional<Numerics> numerics;  ///< in place of the environment's
  bool operator==(const CallOptions&) const = default;
};

/// A profile and where it came from, for the record. Those of source `family` are other machines': their lists count for any
/// number of threads, the nearest first.
struct ProfileLevel {
  Source source;
  std::string path;  ///< or which built-in profile it is
  Profile profile;
};

struct SelectionInputs {
  const DeviceInfo& device;
  const Environment& environment;
  const CallOptions& options;
  /// In order of precedence: caller's, user's, then built-in ones.
  std::span<const ProfileLevel> profiles;

  Numerics numerics() const { return options.numerics.value_or(environment.numerics); }
};

/// Refuses names in the environment and the options that are no variant of the device, with the allowed ones.
Status check_names(const Environment& environment, const DeviceInfo& device);
Result<std::string> resolve_variant(Op op, std::string_view text, const DeviceInfo& device, std::string_view where);

/// Rules of one level, and how its record names it.
struct Level {
  Source source;
  std::string origin;  ///< "METALLIC_SOFTMAX_VARIANT=block", a profile's path, "built-in"
  std::vector<Rule> rules;
  std::string family{};  ///< where not empty, only variants of this family count ("mlx" asks for the GEMM family)
  bool forced = false;   ///< names one variant regardless of the problem
};

/// All levels of a key: environment › options › profiles › built-in rules › what runs where all others reject.
Result<std::vector<Level>> rule_levels(const RuleKey& key, const SelectionInputs& in);

}  // namespace metallic
