// SPDX-License-Identifier: Apache-2.0
// Stages that several subcommands run: describe the device, analyse, write files.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "dispatch/context.h"
#include "profile/profile.h"
#include "tools/metallic/inputs.h"
#include "tuner/fit/analysis.h"
#include "tuner/io/records.h"

namespace metallic::cli {

/// The device and its measured roofline, for device.json.
DeviceRecord record_device(Context& context, const std::string& model, uint64_t seed);

/// Whether a library implements a candidate.
bool is_library(const tune::KernelConfig& choice, Op op);

/// For --out: checks that the samples and device.json can be written, before anything is measured, and writes them.
Status check_out(const std::string& out);
Status write_out(const std::string& out, std::span<const SampleRow> samples, const DeviceRecord& device);

/// An analysis and the profile made from it.
struct AnalyzedProfile {
  tune::Analysis analysis;
  Profile profile;
};

/// Keeps rules and thresholds of the `earlier` profile if the new ones are not better; null: there is none.
AnalyzedProfile run_analysis(const LoadedMeasurements& loaded, const Profile* earlier = nullptr);

/// Writes report.html.
Status write_report(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder);

/// Writes profile.json and report.html.
Status write_analysis(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder);

/// Thresholds, rules and regret as text, and as the JSON of `analyze --json`.
std::string summary(const AnalyzedProfile& analyzed);
Json summary_json(const AnalyzedProfile& analyzed);

/// Aggregates of measurements, with the workspace of each candidate on this machine.
std::vector<ResultRow> aggregate(const LoadedMeasurements& loaded, Context& context);

}  // namespace metallic::cli
