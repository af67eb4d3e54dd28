// SPDX-License-Identifier: Apache-2.0
// metallic tune: measures, analyses and installs a profile.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/file.h"
#include "dispatch/profile_store.h"
#include "tools/metallic/command.h"
#include "tools/metallic/install.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/tuning_run.h"
#include "tuner/workloads/shape_sampling.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling;
  std::string folder;
  std::string device = "cpu";
  bool force = false;
};

constexpr const char* kCheckpoint = "samples.partial.csv";

// Leaves time for the roofline, the analysis and the report: some 3 s of a minute.
double sampling_budget(double budget_s) { return budget_s - std::min(0.07 * budget_s, 4.0); }

// How many random shapes to sample for each operation and type. A minute allows some 40,000 samples: five blocks of 1600 problems
// (two operations in two types) with five candidates each.
int random_shapes(std::span<const WeightedProblem> problems, double budget_s) {
  std::set<std::pair<Op, DType>> kinds;
  for (const WeightedProblem& each : problems) kinds.emplace(each.problem.op(), each.problem.dtype);
  return static_cast<int>(std::clamp(8 * budget_s / static_cast<double>(kinds.size()), 8.0, 400.0));
}

Result<Exit> run(Options options) {
  if (options.problems.shapes.empty()) {
    if (options.problems.model.empty()) options.problems.model = kDefaultModel;
    if (options.problems.dtypes.empty()) {
      METALLIC_TRY(const ModelConfig found, find_model(options.problems.model));
      options.problems.dtypes = types_to_tune(found, options.sampling.budget_s);
    }
  }
  const std::string model = options.problems.model.empty() ? "any" : model_name(options.problems.model);
  METALLIC_TRY(auto problem_list, problems(options.problems));
  METALLIC_TRY(const auto ctx, context("", "", options.sampling.peers, options.device));
  ctx->measure_join();
  const std::filesystem::path folder =
      options.folder.empty() ? std::filesystem::path("metallic-tuning") / model : std::filesystem::path(options.folder);
  // Checks that the files can be written before measuring; existing files stay until there are new ones.
  for (const char* file : {kDevice, kSamples, kResults, kProfile, kReport}) METALLIC_CHECK(check_writable(folder / file));
  METALLIC_TRY(const auto installed, installed_path(*ctx, model));
  METALLIC_CHECK(check_writable(installed));
  METALLIC_TRY(Checkpoint checkpoint, Checkpoint::open(folder / kCheckpoint));
  // The seed determines the sampled shapes: a resumed run needs the same.
  if (!checkpoint.earlier().empty()) options.sampling.seed = static_cast<uint64_t>(checkpoint.earlier().front().seed);
  draw_seed(options.sampling);
  if (options.problems.shapes.empty()) {
    const auto around =
        sample_shapes(problem_list, random_shapes(problem_list, options.sampling.budget_s), options.sampling.seed);
    problem_list.insert(problem_list.end(), around.begin(), around.end());
  }
  const double asked_s = options.sampling.budget_s;
  options.sampling.budget_s = sampling_budget(asked_s);
  METALLIC_TRY(const TuningRun sampled, run_tuning(problem_list, *ctx, options.sampling, {}, &checkpoint));
  if (sampled.interrupted) {
    fmt::print(stderr, "interrupted after {:.0f} s: {} samples are in {}; the same command continues from there\n",
               sampled.seconds, sampled.rows.size(), checkpoint.path().native());
    return Exit::interrupted;
  }
  DeviceRecord device = record_device(*ctx, model, options.sampling.seed);
  device.noise = sampled.noise;
  METALLIC_CHECK(write_file(folder / kDevice, to_json(device)));
  METALLIC_CHECK(write_file(folder / kSamples, to_csv(sample_columns(), std::span<const SampleRow>(sampled.rows))));
  checkpoint.remove();

  METALLIC_TRY(const LoadedMeasurements loaded, load_measurements(folder / kSamples, ctx->device(), ctx->threads()));
  const auto rows = aggregate(loaded, *ctx);
  METALLIC_CHECK(write_file(folder / kResults, to_csv(result_columns(), std::span<const ResultRow>(rows))));
  const auto earlier = load_profile(installed, ctx->device());
  const AnalyzedProfile analyzed = run_analysis(loaded, earlier ? &*earlier : nullptr);
  METALLIC_CHECK(write_analysis(loaded, analyzed, folder));
  fmt::print("{}", summary(analyzed));
  fmt::print("expected residual regret of the measured problems: {:.2f} % after {:.0f} s\n", 100 * sampled.expected_residual,
             sampled.seconds);
  fmt::print("report    {}\n", std::filesystem::absolute(folder / kReport).native());
  const Judgement judged = judge(sampled.noise);
  if (judged.trust != Trust::quiet) fmt::print("{}\n", judged.why);
  if (judged.trust == Trust::busy && !options.force) {
    fmt::print("not installed: tune again, or install it anyway: metallic apply --force {}\n", (folder / kProfile).native());
    return Exit::inconclusive;
  }
  METALLIC_TRY(const auto changes, install(analyzed.profile, *ctx, options.force, /*dry_run=*/false));
  fmt::print("{}\n", changes.back());
  return Exit::done;
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "tune", "find the fastest kernels of this machine: measure, analyse, install",
      [](const Command& command, Options& options) {
        add_problem_options(command, options.problems, "that of the model, and from 20s on f32 too");
        add_sample_options(command, options.sampling);
        command.option("--output-dir", options.folder, "folder for samples, profile and report [metallic-tuning/<model>]")
            .type("DIR");
        add_device_option(command, options.device);
        command.flag("--force", options.force, "install even if the machine was busy");
      },
      run);
}

}  // namespace metallic::cli
