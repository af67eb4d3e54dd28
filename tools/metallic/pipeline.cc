// SPDX-License-Identifier: Apache-2.0
// Runs the analysis and formats its results.
#include "tools/metallic/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/build.h"
#include "base/file.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "tools/metallic/install.h"
#include "tools/metallic/progress.h"
#include "tuner/bench/roofline.h"
#include "tuner/report/regret_json.h"
#include "tuner/report/report.h"
#include "tuner/stats/aggregate.h"

namespace metallic::cli {
namespace {

std::string percent(double fraction) { return fmt::format("{:.2f} %", fraction * 100); }

std::string line(const Threshold& t) {
  const bool outside = t.value < t.low || t.value > t.high;
  return fmt::format("{:<18} {} {:<12} {:<16} {:>8}  [{}, {}]  regret {}{}", t.name, name(t.dtype), t.layout, t.where, t.value,
                     t.low, t.high, percent(t.regret),
                     t.kept_default ? outside ? "  (default kept: no other is surely better)" : "  (default kept)" : "");
}

}  // namespace

DeviceRecord record_device(Context& context, const std::string& model, uint64_t seed) {
  Progress progress("measuring the roofline");
  return {.device = context.device(),
          .roofline = measure_roofline(context.device(), context.executor()),
          .threads = context.threads(),
          .model = model.empty() ? "any" : model,
          .build = std::string(build_name()),
          .date = now(),
          .seed = seed};
}

bool is_library(const tune::KernelConfig& choice, Op op) {
  const Variant* variant = find_variant(op, choice.variant);
  return variant && !variant->library().empty();
}

Status check_out(const std::string& out) {
  METALLIC_CHECK(check_writable(out));
  return check_writable(std::filesystem::path(out).replace_filename(kDevice));
}

Status write_out(const std::string& out, std::span<const SampleRow> samples, const DeviceRecord& device) {
  METALLIC_CHECK(write_file(out, to_csv(sample_columns(), samples)));
  return write_file(std::filesystem::path(out).replace_filename(kDevice), to_json(device));
}

AnalyzedProfile run_analysis(const LoadedMeasurements& loaded, const Profile* earlier) {
  tune::AnalysisOptions options = analysis_options(loaded.device.device);
  if (earlier) options.earlier = *earlier;
  Progress progress("analysing");
  options.progress = [&progress](double share, const std::string& what) { progress.update(share, what); };
  AnalyzedProfile analyzed{.analysis = tune::analyze(loaded.measurements, options), .profile = {}};
  Profile& profile = analyzed.profile;
  profile.device = loaded.device.device;
  profile.fingerprint = loaded.device_known ? fingerprint(loaded.device.device) : "unknown";
  profile.model = loaded.device.model;
  profile.build = loaded.device.build;
  profile.date = loaded.device.date;
  profile.paired = loaded.measurements.paired;
  profile.busy = loaded.device.noise && judge(*loaded.device.noise).trust == Trust::busy;
  profile.lists = analyzed.analysis.lists;
  profile.thresholds = analyzed.analysis.thresholds;
  return analyzed;
}

Status write_report(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder) {
  return write_file(folder / kReport, tune::report_html(loaded.measurements, analyzed.analysis, analyzed.profile, loaded.device));
}

Status write_analysis(const LoadedMeasurements& loaded, const AnalyzedProfile& analyzed, const std::filesystem::path& folder) {
  METALLIC_CHECK(write_file(folder / kProfile, to_json(analyzed.profile)));
  return write_report(loaded, analyzed, folder);
}

std::string summary(const AnalyzedProfile& analyzed) {
  std::string text = "thresholds (value, 95 % interval, regret)\n";
  for (const Threshold& threshold : analyzed.profile.thresholds) text += "  " + line(threshold) + "\n";
  text += "rules\n";
  for (const RuleList& list : analyzed.profile.lists) {
    text += fmt::format("  {}\n", key_text(list.key));
    for (const Rule& rule : list.rules)
      text += fmt::format("    {}{}\n", to_string(rule),
                          rule.evidence.regret
                              ? fmt::format("   [regret {}, default {}]", percent(*rule.evidence.regret),
                                            rule.evidence.default_regret ? percent(*rule.evidence.default_regret) : "not timed")
                              : "");
  }
  const auto& a = analyzed.analysis;
  if (a.regret.series == 0) return text + "regret: unknown, it needs two times of each candidate\n";
  const auto add = [&](std::string_view what, const tune::RegretSummary& r) {
    text += fmt::format("  {:<34} mean {:>7} [{}, {}], p95 {:>7}, worst {:>7}\n", what, percent(r.mean), percent(r.mean_low),
                        percent(r.mean_high), percent(r.p95), percent(r.worst));
  };
  text += fmt::format("regret over {} problems, cross-fitted, with 95 % intervals\n", a.regret.series);
  add("these rules", a.regret);
  add("these rules, held-out shapes", a.unseen_regret);
  add("built-in rules", a.default_regret);
  for (const RuleKey& key : a.kept)
    text += fmt::format("kept the earlier rules of {}: the new ones are not better\n", key_text(key));
  return text;
}

Json summary_json(const AnalyzedProfile& analyzed) {
  // Reuses the JSON of the profile, so that names agree.
  const auto profile = Json::parse(to_json(analyzed.profile));
  const auto regret = [](const tune::RegretSummary& summary) { return to_json(summary, tune::IntervalKeys::pair); };
  return {{"thresholds", profile["thresholds"]},
          {"rules", profile["rules"]},
          {"paired", profile["paired"]},
          {"regret", regret(analyzed.analysis.regret)},
          {"unseen_regret", regret(analyzed.analysis.unseen_regret)},
          {"default_regret", regret(analyzed.analysis.default_regret)}};
}

std::vector<ResultRow> aggregate(const LoadedMeasurements& loaded, Context& context) {
  std::vector<ResultRow> rows = tune::aggregate(loaded.measurements, loaded.device.device.isa());
  for (ResultRow& row : rows) {
    auto problem = parse_label(row.parameters);
    const Variant* variant = problem ? find_variant(problem->op(), row.variant) : nullptr;
    const auto tuning = variant ? find_tuning(*variant, row.tuning) : std::nullopt;
    if (!tuning) continue;
    if (const auto dtype = parse_dtype(row.dtype)) *problem = with_dtype(std::move(*problem), *dtype);
    problem->threads = static_cast<int>(std::max<int64_t>(row.threads, 1));
    if (variant->rejects(*problem, *tuning, context.device())) continue;
    if (const auto kernel = variant->prepare(*problem, *tuning, context.device(), context))
      row.workspace_bytes = static_cast<int64_t>((*kernel)->workspace());
  }
  return rows;
}

}  // namespace metallic::cli
