// The stages that several subcommands run: sample, analyse and write, install.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tools/metallic/inputs.h"
#include "dispatch/context.h"
#include "profile/profile.h"
#include "tuner/io/records.h"
#include "tuner/fit/analysis.h"

namespace metallic::cli {

struct SampleOptions {
  double budget_s = 60;
  uint64_t seed = 0;  ///< 0: `draw_seed` sets one from the clock
  std::vector<std::string> caches;
  bool peers = false;   ///< libraries are candidates too
  bool floors = false;  ///< after the candidates, what moving their operands takes
};

void add_sample_options(CLI::App& command, SampleOptions& options);
void add_budget_option(CLI::App& command, SampleOptions& options);
void add_seed_option(CLI::App& command, SampleOptions& options);
void add_cache_option(CLI::App& command, SampleOptions& options);

/// Sets the seed where none was given, so that every file can name the one that was used.
void draw_seed(SampleOptions& options);

/// Facts and ceilings of this machine, for device.json.
DeviceRecord record_device(Context& context, const std::string& model, uint64_t seed);

/// Whether a candidate is a library's, not our own.
bool is_library(const tune::Choice& choice, Op op);

/// `--out FILE`: the raw samples, and device.json beside them. The check is for before the measuring: nothing is lost then.
CLI::Option* add_out_option(CLI::App& command, std::string& out);
Status check_out(const std::string& out);
Status write_out(const std::string& out, std::span<const SampleRow> samples, const DeviceRecord& device);

/// An analysis and the profile made from it.
struct AnalyzedProfile {
  tune::Analysis analysis;
  Profile profile;
};

/// `earlier`: the profile whose rules and thresholds stay where the new ones are no better; null: none.
AnalyzedProfile run_analysis(const LoadedMeasurements& loaded, const Profile* earlier = nullptr);

/// Writes report.html.
Status write_report(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder);

/// Writes profile.json and report.html.
Status write_analysis(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder);

/// Thresholds, rules and regret as text for people, and as the JSON of `analyze --json`.
std::string summary(const AnalyzedProfile& analyzed);
Json summary_json(const AnalyzedProfile& analyzed);

/// The aggregates of measurements, with the workspace that each candidate needs here.
std::vector<ResultRow> aggregate(const LoadedMeasurements& loaded, Context& context);

/// Where this device's profile for a model is installed.
Result<std::filesystem::path> installed_path(const Context& context, std::string_view model);

/// Refuses a profile that must be forced (unpaired, of unknown origin) or is another device's, then installs it. Returns what
/// changed, a line each; with `dry_run` nothing is written.
Result<std::vector<std::string>> install(Profile profile, const Context& context, bool force, bool dry_run);

/// Exchanges the installed profiles for those that the last install replaced. Returns what changed, a line each; with `dry_run`
/// nothing is written. A `model` that the last install was not of is an error; empty: whichever it was.
Result<std::vector<std::string>> rollback(const Context& context, const std::string& model, bool dry_run);

}  // namespace metallic::cli
