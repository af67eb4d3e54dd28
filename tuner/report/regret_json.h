// SPDX-License-Identifier: Apache-2.0
// Regret summaries as JSON, for the report and for the program's output.
#pragma once

#include "base/json.h"
#include "tuner/stats/regret.h"

namespace metallic::tune {

/// How the JSON names an interval: `"mean_interval": [low, high]`, or `"mean_low": low, "mean_high": high`.
enum class IntervalKeys { pair, separate };

Json to_json(const RegretSummary& summary, IntervalKeys keys);

}  // namespace metallic::tune
