#include "dispatch/decision_json.h"

#include "core/label.h"
#include "core/variant.h"

namespace metallic {

nlohmann::ordered_json to_json(const Decision& decision, const DeviceFacts& facts) {
  using OrderedJson = nlohmann::ordered_json;
  OrderedJson candidates = OrderedJson::array(), parts = OrderedJson::array();
  for (const Candidate& candidate : decision.candidates)
    candidates.push_back({{"variant", candidate.variant->name},
                          {"tuning", to_string(candidate.tuning)},
                          {"rejected", candidate.rejected.empty() ? OrderedJson(nullptr) : OrderedJson(candidate.rejected)}});
  for (const Decision& part : decision.parts) parts.push_back(to_json(part, facts));
  return {{"op", name(decision.problem.op())},
          {"label", label(decision.problem)},
          {"dtype", name(decision.problem.dtype)},
          {"device", facts.id},
          {"threads", decision.problem.threads},
          {"variant", decision.variant->name},
          {"tuning", to_string(decision.tuning)},
          {"source", name(decision.source)},
          {"rule", decision.rule},
          {"margin", decision.margin ? OrderedJson(*decision.margin) : OrderedJson(nullptr)},
          {"candidates", candidates},
          {"refused", decision.refused},
          {"parts", parts}};
}

}  // namespace metallic
