// SPDX-License-Identifier: Apache-2.0
// A decision: which variant runs a problem, which rule said so, and why every other candidate does not.
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

struct Candidate {
  const Variant* variant = nullptr;
  Tuning tuning;
  std::string rejected;  ///< one line; empty for the candidate that was chosen
};

/// A level or an override that was passed over.
struct Refusal {
  std::string what;         ///< and why: one line
  bool unexpected = false;  ///< somebody asked for it or measured it to be best, and does not get it
};

struct Decision {
  Problem problem;
  const Variant* variant = nullptr;
  Tuning tuning;
  Source source = Source::defaults;
  std::string rule;              ///< as people read it, with the name of the variable or the file it stands in
  std::optional<double> margin;  ///< measured advantage over the best other variant, a fraction; absent if never measured
  std::vector<Candidate> candidates;
  std::vector<Refusal> refused;
  std::vector<Decision> parts;  ///< of operations that a composed variant asked the planner for
};

}  // namespace metallic
