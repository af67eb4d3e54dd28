// SPDX-License-Identifier: Apache-2.0
// metallic gate: decides whether head is slower than base, from two builds timed in turn or from two files of samples.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tools/metallic/command.h"
#include "tools/metallic/gate_builds.h"
#include "tools/metallic/gate_output.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/progress.h"
#include "tuner/regression/power.h"

extern "C" const char metallic_gate_benchmarks[], metallic_gate_benchmarks_end[];

namespace metallic::cli {
namespace {

constexpr size_t kMostSampleBytes = size_t{1} << 30;
constexpr double kSlowdown = 0.05;  // that a calibration injects
constexpr int kVirtualGates = 1000;

struct Options {
  std::string base, head;
  ProblemOptions problems;
  SampleOptions sampling{.budget_s = 60};
  double tau_percent = 2.5;
  std::string markdown, junit;
  bool json = false, calibrate = false;
};

bool is_program(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

Result<std::vector<WeightedProblem>> benchmarks(const ProblemOptions& options) {
  if (!options.shapes.empty()) return problems(options);
  return parse_problem_list({metallic_gate_benchmarks, metallic_gate_benchmarks_end}, "gate_benchmarks.txt");
}

Result<BuildPair> start(const Options& options) {
  METALLIC_TRY(const auto problem_list, benchmarks(options.problems));
  Progress progress("preparing");
  progress.update(0, "filling inputs and checking results");
  std::vector<Cache> caches;
  for (const Cache cache : {Cache::warm, Cache::cold})
    if (std::ranges::find(options.sampling.caches, name(cache)) != options.sampling.caches.end()) caches.push_back(cache);
  return start_builds(options.base, options.head, problem_list, caches, options.sampling.seed);
}

BlockOptions block_options(const Options& options, Progress& progress) {
  return {.budget_s = options.sampling.budget_s,
          .least_rounds = tune::kLeastBlocks,
          .most_rounds = tune::kLooks.back().blocks,
          .seed = options.sampling.seed,
          .progress = [&progress](double share, const std::string& what) { progress.update(share, what); }};
}

Result<GateResult> gate_builds(const Options& options) {
  METALLIC_TRY(BuildPair builds, start(options));
  tune::Gate gate(builds.benchmarks.size(), options.tau_percent / 100);
  {
    Progress progress("gating");
    METALLIC_CHECK(time_blocks(
        builds, block_options(options, progress), [&](size_t b) { return gate.wants(b); },
        [&](size_t b, double difference) { gate.add(b, difference); }));
  }
  gate.finish();
  GateResult result{.base_build = one_line(builds.base->build()),
                    .head_build = one_line(builds.head->build()),
                    .benchmarks = builds.benchmarks,
                    .assessments = {gate.assessments().begin(), gate.assessments().end()},
                    .verdict = gate.verdict(),
                    .notes = builds.notes};
  result.notes.push_back(fmt::format("seed {}", options.sampling.seed));
  return result;
}

Result<GateResult> gate_files(const Options& options) {
  const auto read = [](const std::string& path) -> Result<tune::Recording> {
    METALLIC_TRY(const std::string text, read_file(path, kMostSampleBytes));
    return tune::read_recording(text, path);
  };
  METALLIC_TRY(const tune::Recording base, read(options.base));
  METALLIC_TRY(const tune::Recording head, read(options.head));
  METALLIC_TRY(tune::Pairing pairing, tune::pair_recordings(base, head));
  const tune::Gate gate = tune::Gate::of_recorded(pairing.differences, options.tau_percent / 100);
  GateResult result{.base_build = one_line(base.build),
                    .head_build = one_line(head.build),
                    .benchmarks = std::move(pairing.benchmarks),
                    .assessments = {gate.assessments().begin(), gate.assessments().end()},
                    .verdict = gate.verdict(),
                    .notes = std::move(pairing.notes)};
  if (result.benchmarks.empty()) result.notes.push_back("the files have no benchmark in common: nothing is decided");
  result.notes.push_back(
      "recorded samples are paired by block order: changes of the machine between the recordings look like changes of the "
      "kernels, so this is weaker evidence than two builds timed in turn");
  return result;
}

Result<Exit> gate(const Options& options) {
  for (const std::string& path : {options.base, options.head})
    if (std::error_code ignored; !std::filesystem::exists(path, ignored))
      return fail(Code::not_found, "{}: No such file or directory: use two programs or two files of samples", path);
  const bool programs = is_program(options.base) && is_program(options.head);
  if (!programs && (is_program(options.base) || is_program(options.head)))
    return fail(Code::invalid_argument, "--base {} and --head {}: use two programs or two files of samples, not one of each",
                in_quotes(options.base), in_quotes(options.head));
  METALLIC_TRY(GateResult result, programs ? gate_builds(options) : gate_files(options));
  result.base = options.base, result.head = options.head, result.tau = options.tau_percent / 100;
  if (!options.markdown.empty()) METALLIC_CHECK(write_file(options.markdown, markdown(result)));
  if (!options.junit.empty()) METALLIC_CHECK(write_file(options.junit, junit(result)));
  if (options.json)
    fmt::print("{}\n", json(result).dump(2, ' ', false, Json::error_handler_t::replace));
  else
    fmt::print("{}", table(result));
  switch (result.verdict) {
    case tune::GateVerdict::pass: return Exit::done;
    case tune::GateVerdict::fail: return Exit::check_failed;
    case tune::GateVerdict::inconclusive: break;
  }
  return Exit::inconclusive;
}

Json share_json(const tune::Proportion& share) {
  return {{"count", share.count}, {"of", share.of}, {"low", share.low}, {"high", share.high}};
}

void print(const tune::Calibration& c, const BuildPair& builds, double tau_percent) {
  const auto line = [](const char* what, const tune::Proportion& s) {
    fmt::print("{:<34} {:>5} of {}   {:.2f} %   [{:.2f}, {:.2f}] at 95 %\n", what, s.count, s.of, 100.0 * s.count / s.of,
               s.low * 100, s.high * 100);
  };
  fmt::print("{:<72} {:>9} {:>8} {:>8} {:>13}\n", "benchmark", "head/base", "noise", "autocorr", "blocks needed");
  for (size_t b = 0; b < c.benchmarks.size(); ++b)
    fmt::print("{:<72} {:>9.3f} {:>6.1f} % {:>8.2f} {:>13.0f}\n", to_string(builds.benchmarks[b]),
               std::exp(c.benchmarks[b].estimate), c.benchmarks[b].sigma * 100, c.benchmarks[b].autocorrelation,
               c.benchmarks[b].blocks_needed);
  line("equal builds: false alarms", c.alarms);
  line("equal builds: passes", c.passes);
  line(fmt::format("one benchmark {:g} % slower: found", c.slowdown * 100).c_str(), c.found);
  fmt::print("tau {:g} %; the gates are resampled from the blocks of this run, by pairs of processes\n", tau_percent);
}

Result<Exit> calibrate(const Options& options) {
  if (!is_program(options.base) || (options.head != options.base && !is_program(options.head)))
    return fail(Code::invalid_argument, "--calibrate --base {}: it takes a program, which it times against itself",
                in_quotes(options.base));
  METALLIC_TRY(BuildPair builds, start(options));
  std::vector<std::vector<double>> blocks(builds.benchmarks.size());
  {
    Progress progress("calibrating");
    METALLIC_CHECK(time_blocks(
        builds, block_options(options, progress), [](size_t) { return true; },
        [&](size_t b, double difference) { blocks[b].push_back(difference); }));
  }
  const tune::Calibration calibration =
      tune::calibrate(blocks, kRoundsPerWorker, options.tau_percent / 100, kSlowdown, kVirtualGates, options.sampling.seed);
  if (!options.json) {
    print(calibration, builds, options.tau_percent);
    return Exit::done;
  }
  auto of_each = Json::array();
  for (size_t b = 0; b < blocks.size(); ++b) {
    const auto& noise = calibration.benchmarks[b];
    of_each.push_back({{"benchmark", to_string(builds.benchmarks[b])},
                       {"blocks", blocks[b].size()},
                       {"ratio", std::exp(noise.estimate)},
                       {"sigma", noise.sigma},
                       {"autocorrelation", noise.autocorrelation},
                       {"blocks_needed", noise.blocks_needed}});
  }
  const Json json = {{"tau", options.tau_percent / 100},         {"slowdown", calibration.slowdown},
                     {"alarms", share_json(calibration.alarms)}, {"passes", share_json(calibration.passes)},
                     {"found", share_json(calibration.found)},   {"benchmarks", of_each}};
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  return Exit::done;
}

Result<Exit> run(Options options) {
  if (options.head.empty() && options.calibrate) options.head = options.base;
  if (options.head.empty())
    return fail(Code::invalid_argument, "--head is missing: the build or the samples to compare with --base");
  for (const std::string& path : {options.markdown, options.junit})
    if (!path.empty()) METALLIC_CHECK(check_writable(path));
  draw_seed(options.sampling);
  auto ended = options.calibrate ? calibrate(options) : gate(options);
  if (ended || ended.error().code != Code::unsupported) return ended;
  fmt::print(stderr, "metallic: {}: nothing is decided\n", ended.error().message);
  return Exit::inconclusive;
}

}  // namespace

void add_gate(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "gate", "decide whether one build is slower than another",
      [](const Command& command, Options& options) {
        command.option("--base", options.base, "build to compare with: its program metallic, or a samples.csv")
            .required()
            .type("FILE");
        command.option("--head", options.head, "build to check: its program metallic, or a samples.csv").type("FILE");
        add_shape_options(command, options.problems);
        add_budget_option(command, options.sampling);
        add_seed_option(command, options.sampling);
        add_cache_option(command, options.sampling);
        command.option("--tau", options.tau_percent, "smallest slowdown that counts, in percent")
            .between(0.1, 100.0)
            .show_default()
            .type("PERCENT");
        command.option("--markdown", options.markdown, "write the result to this file as Markdown").type("FILE");
        command.option("--junit", options.junit, "write the result to this file as JUnit XML").type("FILE");
        command.flag("--calibrate", options.calibrate,
                     "time base against itself, to estimate false alarms and the power to find a slowdown of 5 %");
        command.flag("--json", options.json, "print JSON");
      },
      run);
}

}  // namespace metallic::cli
