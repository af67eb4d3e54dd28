// The report: one self-contained HTML file that shows what was measured, what was decided, and why.
#pragma once

#include <string>

#include "formats/device_json.h"
#include "formats/profile.h"
#include "tune/analysis.h"

namespace metallic::tune {

/// The page: charts of softmax time against seq_k per variant with crossover and interval, small-N speed per N, fraction of
/// the ceiling, thresholds, rules, regret, provenance. Text from files is escaped; nothing is loaded from elsewhere.
std::string report_html(const Measurements& measurements, const Analysis& analysis, const Profile& profile,
                        const DeviceRecord& device);

}  // namespace metallic::tune
