// SPDX-License-Identifier: Apache-2.0
// The report: one self-contained HTML file with the measurements, the decisions and their reasons.
#pragma once

#include <string>

#include "profile/device_json.h"
#include "profile/profile.h"
#include "tuner/fit/analysis.h"

namespace metallic::tune {

/// The page: thresholds, charts of time along each operation's axis with crossovers, fraction of the roofline, rules, budget,
/// regret, noise and provenance. It leaves out curves of fewer than three points, escapes text from files, and loads nothing.
std::string report_html(const Measurements& measurements, const Analysis& analysis, const Profile& profile,
                        const DeviceRecord& device);

}  // namespace metallic::tune
