// Selection: problem × facts × profiles × environment → decision, a pure function.
#pragma once

#include <optional>
#include <string>

#include "core/decision.h"
#include "core/device.h"
#include "core/environment.h"
#include "core/problem.h"
#include "core/status.h"
#include "core/variant.h"
#include "formats/profile.h"

namespace metallic {

/// What a single call asks for.
struct CallOptions {
  std::string variant;               ///< a variant's full name to force, or empty
  std::optional<Numerics> numerics;  ///< in place of the environment's
};

/// A profile and where it came from, for the record. Those of source `family` are other machines': their lists count for any
/// number of threads, the nearest first.
struct ProfileLevel {
  Source source;
  std::string path;  ///< or which built-in profile it is
  Profile profile;
};

struct SelectionInputs {
  const DeviceFacts& facts;
  const Environment& environment;
  const CallOptions& options;
  /// In order of precedence: caller's, user's, then built-in ones.
  std::span<const ProfileLevel> profiles;
};

/// Refuses names in the environment and the options that are no variant of the device, with the allowed ones.
Status check_names(const Environment& environment, const DeviceFacts& facts);
Result<std::string> resolve_variant(Op op, std::string_view text, const DeviceFacts& facts, std::string_view where);

/// Always decides for a valid problem: the reference accepts what all others reject. Precedence: environment › options ›
/// profiles › built-in rules; the first level with rules for the problem's key supplies them all, and where none of its
/// rules can run, the next level does.
Result<Decision> select(const Problem& problem, const SelectionInputs& inputs);

}  // namespace metallic
