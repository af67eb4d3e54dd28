// SPDX-License-Identifier: Apache-2.0
// Fuzzes profile.json: accepted profiles survive a round trip.
#include "profile/profile.h"
#include "ops/matmul/shape.h"

#include "property.h"

using namespace metallic;

void run(std::string_view text) {
  const auto profile = parse_profile(text, "input");
  if (!profile) return ONE_LINE(profile);
  const std::string written = to_json(*profile);
  const auto again = parse_profile(written, "again");
  PROPERTY(again.has_value());
  PROPERTY(again->lists == profile->lists);
  PROPERTY(again->thresholds == profile->thresholds);
  PROPERTY(to_json(*again) == written);
  for (const RuleList& list : profile->lists)
    for (const Rule& rule : list.rules) {
      PROPERTY(!to_string(rule).empty());
      matches(rule, matmul_problem(16, 64, 32));
    }
}
