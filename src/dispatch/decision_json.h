// SPDX-License-Identifier: Apache-2.0
// A decision as JSON, as `metallic explain --json` prints it and metallic_plan_explain returns it.
#pragma once

#include "base/json.h"
#include "device/info.h"
#include "ops/decision.h"

namespace metallic {

/// {op, label, dtype, device, variant, tuning, source, rule, margin, candidates: [{variant, tuning, rejected}], refused, parts}
Json to_json(const Decision& decision, const DeviceInfo& device);

}  // namespace metallic
