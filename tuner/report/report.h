// The report: one self-contained HTML file that shows what was measured, what was decided, and why.
#pragma once

#include <string>

#include "profile/device_json.h"
#include "profile/profile.h"
#include "tuner/fit/analysis.h"

namespace metallic::tune {

/// The page: thresholds, charts of time along each operation's axis with crossovers, fraction of the ceiling, rules, where the
/// samples went, regret, the machine's noise, provenance. Curves of fewer than three points are left out. Text from files is
/// escaped; nothing is loaded from elsewhere.
std::string report_html(const Measurements& measurements, const Analysis& analysis, const Profile& profile,
                        const DeviceRecord& device);

}  // namespace metallic::tune
