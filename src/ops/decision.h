// SPDX-License-Identifier: Apache-2.0
// A decision: which variant runs a problem, which rule chose it, and why every other candidate does not run.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ops/problem.h"
#include "ops/tuning.h"

namespace metallic {

struct Variant;

/// Where the rule of a decision came from, in order of precedence.
enum class Source : unsigned char { environment, options, caller, user, device, family, defaults };
std::string_view name(Source source);  ///< "environment" … "default"

/// What runs a problem, without the record of why.
struct Choice {
  const Variant* variant = nullptr;
  const Tuning* tuning = nullptr;  ///< one of the variant's
  Source source = Source::defaults;
  bool unexpected = false;  ///< a rule that the user forced, or that was measured fastest, was ignored on the way
};

struct Candidate {
  const Variant* variant = nullptr;
  Tuning tuning;
  std::string rejected;   ///< one line; empty for the candidate that was chosen
  bool possible = false;  ///< whether it runs the problem if it is forced
};

/// A level or an override that was ignored.
struct Refusal {
  std::string what;         ///< with the reason, one line
  bool unexpected = false;  ///< the user forced it, or the profile measured it fastest
};

struct Decision {
  Problem problem;
  const Variant* variant = nullptr;
  Tuning tuning;
  Source source = Source::defaults;
  std::string rule;              ///< for people, with the name of its variable or file
  std::optional<double> margin;  ///< measured advantage over the best other variant, a fraction; absent if never measured
  std::vector<Candidate> candidates;
  std::vector<Refusal> refused;
  std::vector<Decision> parts;  ///< for the operations that a composed variant requests from the planner
};

}  // namespace metallic
