// SPDX-License-Identifier: Apache-2.0
// metallic analyze and metallic report: from samples or results to thresholds, rules, regret, profile.json and report.html.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dispatch/profile_store.h"
#include "tools/metallic/command.h"
#include "tools/metallic/pipeline.h"

namespace metallic::cli {
namespace {

struct AnalyzeOptions {
  std::string file;
  std::string folder = ".";
  std::string model;
  bool json = false;
};

Result<Exit> analyze(const AnalyzeOptions& options) {
  METALLIC_TRY(const auto ctx, context(""));
  const std::string model = model_name(options.model);
  if (!model.empty()) METALLIC_CHECK(check_model_name(model));
  METALLIC_TRY(LoadedMeasurements loaded, load_measurements(options.file, ctx->device(), ctx->threads()));
  if (!model.empty()) loaded.device.model = model;
  const AnalyzedProfile analyzed = run_analysis(loaded);
  METALLIC_CHECK(write_analysis(loaded, analyzed, options.folder));
  if (options.json) {
    fmt::print("{}\n", summary_json(analyzed).dump(2, ' ', false, Json::error_handler_t::replace));
    return Exit::done;
  }
  fmt::print("{}", summary(analyzed));
  if (!analyzed.profile.paired) fmt::print("unpaired results: intervals are wide, and apply needs --force\n");
  const std::filesystem::path folder = options.folder;
  fmt::print("profile {}\nreport  {}\n", (folder / kProfile).native(), (folder / kReport).native());
  return Exit::done;
}

struct ReportOptions {
  std::string folder;
};

Result<Exit> report(const ReportOptions& options) {
  METALLIC_TRY(const auto ctx, context(""));
  const std::filesystem::path folder = options.folder;
  std::error_code ignored;
  const auto file = std::filesystem::exists(folder / kSamples, ignored) ? folder / kSamples : folder / kResults;
  METALLIC_TRY(const LoadedMeasurements loaded, load_measurements(file, ctx->device(), ctx->threads()));
  METALLIC_CHECK(write_report(loaded, run_analysis(loaded), folder));
  fmt::print("{}\n", (folder / kReport).native());
  return Exit::done;
}

}  // namespace

void add_analyze(CLI::App& app, Action& action) {
  add_command<AnalyzeOptions>(
      app, action, "analyze", "find thresholds and rules from samples.csv or results.csv",
      [](const Command& command, AnalyzeOptions& options) {
        command.option("file", options.file, "samples.csv or results.csv").required().type("FILE");
        command.option("--output-dir", options.folder, "folder for profile.json and report.html").type("DIR").show_default();
        command.option("--model", options.model, "model that the profile is for [as in device.json]").type("MODEL");
        command.flag("--json", options.json, "print JSON");
      },
      analyze);
}

void add_report(CLI::App& app, Action& action) {
  add_command<ReportOptions>(
      app, action, "report", "analyse a tuning folder again and rewrite its report.html",
      [](const Command& command, ReportOptions& options) {
        command.option("folder", options.folder, "folder with samples.csv or results.csv").required().type("DIR");
      },
      report);
}

}  // namespace metallic::cli
