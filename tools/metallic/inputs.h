// SPDX-License-Identifier: Apache-2.0
// Inputs of subcommands: problems from labels, lists and models; measurements from files; a context.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dispatch/context.h"
#include "profile/device_json.h"
#include "tools/metallic/options.h"
#include "tuner/fit/analysis.h"
#include "tuner/workloads/weighted_problems.h"

namespace metallic::cli {

/// The problems of --shapes or of the model, restricted to --op, in each type of --dtype.
Result<std::vector<WeightedProblem>> problems(const ProblemOptions& options);

/// The element types that `tune` measures unless told: the one that the model comes in and, if the budget allows, f32.
std::vector<std::string> types_to_tune(const ModelConfig& model, double budget_s);

/// Prints to stderr which parts of the model no problem stands for, a line each.
void print_left_out(const ModelConfig& model);

/// One problem from `[op] label` and --dtype. Errors: an op that does not match the label.
Result<Problem> one_problem(const std::vector<std::string>& words, const std::string& dtype);

/// A context with the environment of the process. `model` is a name or the path of a config.json; `libraries` loads the machine's
/// libraries. Errors: an unknown model, an unusable profile.
Result<std::unique_ptr<Context>> context(const std::string& model, const std::string& profile = "", bool libraries = false,
                                         const std::string& device = "cpu");

/// Measurements and the device they were made on.
struct LoadedMeasurements {
  tune::Measurements measurements;
  DeviceRecord device;
  bool device_known = false;  ///< whether device.json or the rows identify the device
};

/// Reads samples.csv or results.csv, recognised by the header, and device.json beside it.
Result<LoadedMeasurements> load_measurements(const std::filesystem::path& path, const DeviceInfo& here, int threads);

/// Options of an analysis that compares with the built-in rules, without environment and profiles.
tune::AnalysisOptions analysis_options(const DeviceInfo& device);

/// The current time as ISO 8601 in UTC.
std::string now();

/// Names of the files in an output directory.
inline constexpr const char* kSamples = "samples.csv";
inline constexpr const char* kResults = "results.csv";
inline constexpr const char* kDevice = "device.json";
inline constexpr const char* kProfile = "profile.json";
inline constexpr const char* kReport = "report.html";

}  // namespace metallic::cli
