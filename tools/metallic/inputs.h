// What subcommands take in: problems from labels, lists and models; measurements from files; a context.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dispatch/context.h"
#include "profile/device_json.h"
#include "tuner/workloads/weighted_problems.h"
#include "tuner/fit/analysis.h"

namespace metallic::cli {

/// The options --op, --shapes, --model and --dtype.
struct ProblemOptions {
  std::vector<std::string> ops;  ///< empty: all
  std::vector<std::string> shapes;
  std::string model;
  std::vector<std::string> dtypes;  ///< empty: f32
};

void add_problem_options(CLI::App& command, ProblemOptions& options);
/// --shapes and --dtype alone.
CLI::Option* add_shape_options(CLI::App& command, ProblemOptions& options);

/// Problems of the labels (or of files of labels), or of the model; those of --op only.
Result<std::vector<WeightedProblem>> problems(const ProblemOptions& options);

/// One problem from `[op] label` and --dtype; an op that contradicts the label is an error.
Result<Problem> one_problem(const std::vector<std::string>& words, const std::string& dtype);

/// A context that reads the process environment; `model` is a model's name or the path of its config.json; with `libraries` it
/// has loaded those of the machine.
Result<std::unique_ptr<Context>> context(const std::string& model, const std::string& profile = "", bool libraries = false,
                                         const std::string& device = "cpu");

CLI::Option* add_device_option(CLI::App& command, std::string& device);

/// Samples or results with the device they were taken on.
struct LoadedMeasurements {
  tune::Measurements measurements;
  DeviceRecord device;
  bool device_known = false;  ///< false without a device.json and where the rows name another device than this
};

/// Reads samples.csv or results.csv, whichever it is, and device.json beside it.
Result<LoadedMeasurements> load_measurements(const std::filesystem::path& path, const DeviceFacts& here, int threads);

/// What the built-in rules would run, for comparison: no environment, no profile.
tune::AnalysisOptions analysis_options(const DeviceFacts& facts);

/// The current time as ISO 8601 in UTC.
std::string now();

/// The names of the files in an output directory.
inline constexpr const char* kSamples = "samples.csv";
inline constexpr const char* kResults = "results.csv";
inline constexpr const char* kDevice = "device.json";
inline constexpr const char* kProfile = "profile.json";
inline constexpr const char* kReport = "report.html";

}  // namespace metallic::cli
