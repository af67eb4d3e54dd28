// metallic tune: measures, analyses and installs, the main job.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/pipeline.h"
#include "formats/file.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling;
  std::string folder;
  std::string device = "cpu";
};

Result<Exit> run(Options options) {
  if (options.device != "cpu") return fail(Code::not_found, "--device {}: this machine has: cpu", in_quotes(options.device));
  if (options.problems.shapes.empty() && options.problems.model.empty()) options.problems.model = kDefaultModel;
  const std::string model = options.problems.model.empty() ? "any" : model_name(options.problems.model);
  METALLIC_TRY(const auto problem_list, problems(options.problems));
  METALLIC_TRY(const auto ctx, context("", "", options.sampling.peers));
  const std::filesystem::path folder =
      options.folder.empty() ? std::filesystem::path("metallic-tuning") / model : std::filesystem::path(options.folder);
  // What cannot be written is found before a minute of measuring, not after; what is there stays until there is better.
  for (const char* file : {kDevice, kSamples, kResults, kProfile, kReport}) METALLIC_CHECK(check_writable(folder / file));
  METALLIC_TRY(const auto installed, installed_path(*ctx, model));
  METALLIC_CHECK(check_writable(installed));
  draw_seed(options.sampling);
  METALLIC_TRY(const auto samples, run_sampler(problem_list, *ctx, options.sampling));
  METALLIC_CHECK(write_file(folder / kDevice, to_json(record_device(*ctx, model, options.sampling.seed))));
  METALLIC_CHECK(write_file(folder / kSamples, to_csv(sample_columns(), std::span<const SampleRow>(samples))));

  METALLIC_TRY(const Loaded loaded, load_measurements(folder / kSamples, ctx->facts(), ctx->threads()));
  const auto rows = aggregate(loaded, *ctx);
  METALLIC_CHECK(write_file(folder / kResults, to_csv(result_columns(), std::span<const ResultRow>(rows))));
  const Analyzed analyzed = run_analysis(loaded);
  METALLIC_CHECK(write_analysis(loaded, analyzed, folder));
  fmt::print("{}", summary(analyzed));
  METALLIC_TRY(const auto changes, install(analyzed.profile, *ctx, /*force=*/false, /*dry_run=*/false));
  fmt::print("{}\n", changes.back());
  fmt::print("report    {}\n", std::filesystem::absolute(folder / kReport).native());
  return Exit::done;
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "tune", "measure, analyse and install: find this machine's rules",
      [](CLI::App& command, Options& options) {
        add_problem_options(command, options.problems);
        add_sample_options(command, options.sampling);
        command.add_option("--output-dir", options.folder, "where samples, profile and report go [metallic-tuning/<model>]")
            ->type_name("DIR");
        command.add_option("--device", options.device, "which device (see metallic devices)")
            ->type_name("DEVICE")
            ->capture_default_str();
      },
      run);
}

}  // namespace metallic::cli
