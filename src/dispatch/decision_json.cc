// SPDX-License-Identifier: Apache-2.0
#include "dispatch/decision_json.h"

#include <nlohmann/json.hpp>

#include "ops/label.h"
#include "ops/variant.h"

namespace metallic {

Json to_json(const Decision& decision, const DeviceInfo& device) {
  Json candidates = Json::array(), parts = Json::array();
  for (const Candidate& candidate : decision.candidates)
    candidates.push_back({{"variant", candidate.variant->name},
                          {"tuning", to_string(candidate.tuning)},
                          {"rejected", candidate.rejected.empty() ? Json(nullptr) : Json(candidate.rejected)}});
  for (const Decision& part : decision.parts) parts.push_back(to_json(part, device));
  auto refused = Json::array();
  for (const Refusal& each : decision.refused) refused.push_back(each.what);
  return {{"op", name(decision.problem.op())},
          {"label", label(decision.problem)},
          {"dtype", name(decision.problem.dtype)},
          {"device", device.id},
          {"threads", decision.problem.threads},
          {"variant", decision.variant->name},
          {"tuning", to_string(decision.tuning)},
          {"source", name(decision.source)},
          {"rule", decision.rule},
          {"margin", decision.margin ? Json(*decision.margin) : Json(nullptr)},
          {"candidates", candidates},
          {"refused", refused},
          {"parts", parts}};
}

}  // namespace metallic
