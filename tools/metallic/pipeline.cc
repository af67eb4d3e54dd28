#include "tools/metallic/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "tools/metallic/progress.h"
#include "base/build.h"
#include "ops/label.h"
#include "dispatch/profile_store.h"
#include "base/file.h"
#include "ops/registry.h"
#include "tuner/bench/roofline.h"
#include "tuner/stats/aggregate.h"
#include "tuner/report/report.h"

namespace metallic::cli {
namespace {

std::string percent(double fraction) { return fmt::format("{:.2f} %", fraction * 100); }

std::string line(const Threshold& t) {
  const bool outside = t.value < t.low || t.value > t.high;
  return fmt::format("{:<18} {} {:<12} {:<16} {:>8}  [{}, {}]  regret {}{}", t.name, name(t.dtype), t.layout, t.where, t.value,
                     t.low, t.high, percent(t.regret),
                     t.kept_default ? outside ? "  (default kept: no other surely gains)" : "  (default kept)" : "");
}

std::string key_text(const RuleKey& key) {
  return fmt::format("{} {} {} threads={}", name(key.op), name(key.dtype), key.layout, key.threads);
}

// A profile's rules, each with its key on one line.
using RuleLines = std::set<std::string>;

RuleLines rule_lines(const Result<Profile>& profile) {
  RuleLines lines;
  if (!profile) return lines;
  for (const RuleList& list : profile->lists)
    for (const Rule& rule : list.rules) lines.insert(fmt::format("{}: {}", key_text(list.key), to_string(rule)));
  return lines;
}

std::vector<std::string> rule_changes(const RuleLines& before, const RuleLines& after) {
  std::vector<std::string> changes;
  for (const std::string& rule : before)
    if (!after.contains(rule)) changes.push_back("- " + rule);
  for (const std::string& rule : after)
    if (!before.contains(rule)) changes.push_back("+ " + rule);
  return changes;
}

}  // namespace

void add_budget_option(CLI::App& command, SampleOptions& options) {
  command
      .add_option_function<std::string>(
          "--budget",
          [&options](const std::string& text) {
            std::string number = text;
            double scale = 1;
            if (number.ends_with("min"))
              number.resize(number.size() - 3), scale = 60;
            else if (number.ends_with("s"))
              number.resize(number.size() - 1);
            double value = 0;
            if (!CLI::detail::lexical_cast(number, value) || !(value > 0) || value * scale > 86400)
              throw CLI::ValidationError("--budget", in_quotes(text) + " is not a time such as 60s or 5min");
            options.budget_s = value * scale;
          },
          fmt::format("how long to take, e.g. 60s or 5min; less where enough is known earlier [{:.0f}s]", options.budget_s))
      ->type_name("TIME");
}

void add_seed_option(CLI::App& command, SampleOptions& options) {
  // Files hold seeds as signed numbers, and CLI11 takes -1 and 99999999999999999999 for unsigned ones.
  command
      .add_option_function<std::string>(
          "--seed",
          [&options](const std::string& text) {
            int64_t seed = 0;
            const auto [stop, status] = std::from_chars(text.data(), text.data() + text.size(), seed);
            if (status != std::errc() || stop != text.data() + text.size() || seed < 0)
              throw CLI::ValidationError("--seed", in_quotes(text) + " is not a whole number from 0 to 2^63 - 1");
            options.seed = static_cast<uint64_t>(seed);
          },
          "seed of inputs and orders; 0: from the clock [0]")
      ->type_name("UINT");
}

void add_cache_option(CLI::App& command, SampleOptions& options) {
  command
      .add_option("--cache", options.caches, "warm, cold or both [softmax both, weights of a matmul and keys of an sdpa cold]")
      ->delimiter(',')
      ->check(CLI::IsMember({"warm", "cold"}));
}

void add_sample_options(CLI::App& command, SampleOptions& options) {
  add_budget_option(command, options);
  add_seed_option(command, options);
  add_cache_option(command, options);
  command.add_flag("--peers", options.peers, "time the libraries of this machine too (see metallic devices)");
}

void draw_seed(SampleOptions& options) {
  if (options.seed == 0) options.seed = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count()) >> 1;
}

DeviceRecord record_device(Context& context, const std::string& model, uint64_t seed) {
  Progress progress("ceilings");
  return {.facts = context.facts(),
          .roofline = measure_roofline(context.facts(), context.executor()),
          .threads = context.threads(),
          .model = model.empty() ? "any" : model,
          .build = std::string(build_name()),
          .date = now(),
          .seed = seed};
}

bool is_library(const tune::Choice& choice, Op op) {
  const Variant* variant = find_variant(op, choice.variant);
  return variant && !variant->library().empty();
}

CLI::Option* add_out_option(CLI::App& command, std::string& out) {
  return command.add_option("--out", out, "write the raw samples here, and device.json beside them")->type_name("FILE");
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
  tune::AnalysisOptions options = analysis_options(loaded.device.facts);
  if (earlier) options.earlier = *earlier;
  Progress progress("analysing");
  options.progress = [&progress](double share, const std::string& what) { progress.update(share, what); };
  AnalyzedProfile analyzed{.analysis = tune::analyze(loaded.measurements, options), .profile = {}};
  Profile& profile = analyzed.profile;
  profile.device = loaded.device.facts;
  profile.fingerprint = loaded.device_known ? fingerprint(loaded.device.facts) : "unknown";
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
  std::string text = "thresholds (value, 95 % interval, held-out regret of the rules they belong to)\n";
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
  if (a.regret.series == 0) return text + "held-out regret: not measurable, it takes two times of each candidate\n";
  const auto add = [&](std::string_view what, const tune::RegretSummary& r) {
    text += fmt::format("  {:<34} mean {:>7} [{}, {}], p95 {:>7}, worst {:>7}\n", what, percent(r.mean), percent(r.mean_low),
                        percent(r.mean_high), percent(r.p95), percent(r.worst));
  };
  text += fmt::format("regret over {} problems, cross-fitted, with its 95 % interval\n", a.regret.series);
  add("these rules", a.regret);
  add("rules made without the shape", a.unseen_regret);
  add("built-in rules", a.default_regret);
  for (const RuleKey& key : a.kept) text += fmt::format("earlier rules of {} stay: the new ones are no better\n", key_text(key));
  return text;
}

Json summary_json(const AnalyzedProfile& analyzed) {
  // The profile already says it all in the agreed names.
  const auto profile = Json::parse(to_json(analyzed.profile));
  const auto regret = [](const tune::RegretSummary& r) {
    return Json{{"mean", r.mean},   {"mean_interval", {r.mean_low, r.mean_high}},
                {"p95", r.p95},     {"p95_interval", {r.p95_low, r.p95_high}},
                {"worst", r.worst}, {"series", r.series}};
  };
  return {{"thresholds", profile["thresholds"]},
          {"rules", profile["rules"]},
          {"paired", profile["paired"]},
          {"regret", regret(analyzed.analysis.regret)},
          {"unseen_regret", regret(analyzed.analysis.unseen_regret)},
          {"default_regret", regret(analyzed.analysis.default_regret)}};
}

std::vector<ResultRow> aggregate(const LoadedMeasurements& loaded, Context& context) {
  std::vector<ResultRow> rows = tune::aggregate(loaded.measurements, loaded.device.facts.isa);
  for (ResultRow& row : rows) {
    auto problem = parse_label(row.parameters);
    const Variant* variant = problem ? find_variant(problem->op(), row.variant) : nullptr;
    const auto tuning = variant ? find_tuning(*variant, row.tuning) : std::nullopt;
    if (!tuning) continue;
    if (const auto dtype = parse_dtype(row.dtype)) *problem = with_dtype(std::move(*problem), *dtype);
    problem->threads = static_cast<int>(std::max<int64_t>(row.threads, 1));
    if (variant->rejects(*problem, *tuning, context.facts())) continue;
    if (const auto kernel = variant->prepare(*problem, *tuning, context.facts(), context))
      row.workspace_bytes = static_cast<int64_t>((*kernel)->workspace());
  }
  return rows;
}

Result<std::filesystem::path> installed_path(const Context& context, std::string_view model) {
  METALLIC_CHECK(check_model_name(model));
  const auto path = profile_path(context.facts(), model, context.lookup());
  if (!path) return fail(Code::invalid_argument, "neither XDG_DATA_HOME nor HOME is set: set one to say where profiles live");
  return *path;
}

Result<std::vector<std::string>> install(Profile profile, const Context& context, bool force, bool dry_run) {
  const std::string here = fingerprint(context.facts());
  if (profile.fingerprint == "unknown" && !force)
    return fail(Code::invalid_argument,
                "the profile does not say which device it was measured on: add --force to install it for this one");
  if (profile.fingerprint != "unknown" && profile.fingerprint != here)
    return fail(Code::invalid_argument, "the profile is for {}, this device is {}: tune this one instead",
                in_quotes(profile.fingerprint), here);
  if (!profile.paired && !force)
    return fail(Code::invalid_argument, "the profile rests on unpaired results: run metallic tune, or add --force");
  if (profile.busy && !force)
    return fail(Code::invalid_argument, "the profile was measured on a busy machine: tune again when it is idle, or add --force");
  if (const auto stale = stale_entries(profile); !stale.empty() && !force)
    return fail(Code::invalid_argument, "the profile is of another build: {}: tune again, or add --force", stale.front());
  profile.fingerprint = here;
  const auto libraries = std::move(profile.device.libraries);  // those that it was measured with
  profile.device = context.facts();
  profile.device.libraries = libraries;

  METALLIC_TRY(const auto path, installed_path(context, profile.model));
  std::vector<std::string> changes = rule_changes(rule_lines(load_profile(path, context.facts())),
                                                  rule_lines(joined_with_installed(profile, path, context.facts())));
  if (!dry_run) METALLIC_CHECK(install_profile(profile, context.facts(), context.lookup()));
  changes.push_back(fmt::format("{} {}", dry_run ? "would write" : "installed", path.native()));
  return changes;
}

Result<std::vector<std::string>> rollback(const Context& context, const std::string& model, bool dry_run) {
  METALLIC_TRY(const auto replaced, replaced_profiles(context.facts(), context.lookup()));
  if (!model.empty() && std::ranges::find(replaced, model, &Replaced::model) == replaced.end())
    return fail(Code::not_found, "the last install was not of model {}: apply --rollback without a file undoes that one", model);
  std::vector<std::string> changes;
  for (const Replaced& one : replaced) {
    // The model's own profile and any.json seldom differ; what differs is said once.
    for (std::string& change :
         rule_changes(rule_lines(load_profile(one.path, context.facts())), one.profile ? rule_lines(*one.profile) : RuleLines()))
      if (std::ranges::find(changes, change) == changes.end()) changes.push_back(std::move(change));
  }
  if (!dry_run) METALLIC_CHECK(rollback_profiles(context.facts(), context.lookup()));
  for (const Replaced& one : replaced)
    changes.push_back(fmt::format("{}{} {}{}", dry_run ? "would have " : "", one.profile ? "restored" : "removed",
                                  one.path.native(), one.profile ? "" : ", which replaced nothing"));
  return changes;
}

}  // namespace metallic::cli
