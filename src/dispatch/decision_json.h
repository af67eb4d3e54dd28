// A decision as JSON: what `metallic explain --json` and metallic_plan_explain give.
#pragma once

#include "ops/decision.h"
#include "device/info.h"
#include "base/json.h"

namespace metallic {

/// {op, label, dtype, device, variant, tuning, source, rule, margin, candidates: [{variant, tuning, rejected}], refused, parts}
Json to_json(const Decision& decision, const DeviceInfo& device);

}  // namespace metallic
