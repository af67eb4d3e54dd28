// SPDX-License-Identifier: Apache-2.0
// A decision as JSON: what `metallic explain --json` and metallic_plan_explain give.
#pragma once

#include "base/json.h"
#include "device/info.h"
#include "ops/decision.h"

namespace metallic {

/// {op, label, dtype, device, variant, tuning, source, rule, margin, candidates: [{variant, tuning, rejected}], refused, parts}
Json to_json(const Decision& decision, const DeviceInfo& device);

}  // namespace metallic
