// SPDX-License-Identifier: Apache-2.0
// metallic bench: times all candidates in paired blocks, as a table or in files.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/metallic/command.h"
#include "tools/metallic/layer.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/targets.h"
#include "tools/metallic/tuning_run.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling{.budget_s = 20};
  std::string format = "table";
  std::string out;
  LayerOptions layer;
  std::string targets, only;
  std::string device = "cpu";
  bool json = false;
};

// ns of moving a row's operands, if it was timed.
std::optional<double> roofline_of(const ResultRow& row, const TuningRun& sampled) {
  const auto found = sampled.rooflines_ns.find({row.parameters, row.dtype, row.cache});
  return found == sampled.rooflines_ns.end() ? std::nullopt : std::optional(found->second);
}

std::string table(const std::vector<ResultRow>& rows, const TuningRun& sampled, bool markdown) {
  const bool rooflines = !sampled.rooflines_ns.empty();
  std::string text = markdown
                         ? fmt::format(
                               "| problem | dtype | cache | variant | median µs | 95 % | GB/s | GFLOP/s "
                               "|{}\n|---|---|---|---|---:|---:|---:|---:|{}\n",
                               rooflines ? " of roofline |" : "", rooflines ? "---:|" : "")
                         : fmt::format("{:<34} {:<5} {:<5} {:<26} {:>12} {:>21} {:>8} {:>9}{}\n", "problem", "dtype", "cache",
                                       "variant", "median µs", "95 %", "GB/s", "GFLOP/s", rooflines ? "  of roofline" : "");
  for (const ResultRow& row : rows) {
    const std::string variant = row.tuning.empty() ? row.variant : fmt::format("{}@{}", row.variant, row.tuning);
    const std::string interval = fmt::format("{:.1f}–{:.1f}", row.ci_low / 1e3, row.ci_high / 1e3);
    constexpr std::string_view kMarkdown = "| {} | {} | {} | {} | {:.1f} | {} | {:.1f} | {:.1f} |{}\n";
    constexpr std::string_view kColumns = "{:<34} {:<5} {:<5} {:<26} {:>11.1f} {:>21} {:>8.1f} {:>9.1f}{}\n";
    const auto roofline = roofline_of(row, sampled);
    const std::string of_roofline =
        roofline ? fmt::format(fmt::runtime(markdown ? " {:.2f} |" : "{:>13.2f}"), *roofline / row.median_time) : "";
    text += fmt::format(fmt::runtime(markdown ? kMarkdown : kColumns), row.parameters, row.dtype, row.cache, variant,
                        row.median_time / 1e3, interval, row.bytes / row.median_time, row.flops / row.median_time, of_roofline);
  }
  return text;
}

Result<Exit> run(Options options) {
  if (!options.targets.empty()) {
    draw_seed(options.sampling);
    return bench_targets(options.targets, options.only, options.sampling, options.json || options.format == "json");
  }
  if (options.layer.wanted) {
    draw_seed(options.sampling);
    const auto& dtypes = options.problems.dtypes;
    if (dtypes.size() > 1) return fail(Code::invalid_argument, "--layer takes one --dtype, got {}", fmt::join(dtypes, ","));
    return bench_layer(options.problems.model.empty() ? std::string(kDefaultModel) : options.problems.model,
                       dtypes.empty() ? "f32" : dtypes.front(), options.sampling, options.layer,
                       options.json || options.format == "json");
  }
  METALLIC_TRY(const auto problem_list, problems(options.problems));
  METALLIC_TRY(const auto ctx, context(options.problems.model, "", options.sampling.peers, options.device));
  if (!options.out.empty()) METALLIC_CHECK(check_out(options.out));
  draw_seed(options.sampling);
  options.sampling.rooflines = ctx->device().backend != "cpu";
  METALLIC_TRY(const TuningRun sampled, run_tuning(problem_list, *ctx, options.sampling, {.adaptive = false}));
  if (sampled.interrupted) fmt::print(stderr, "interrupted: the results so far follow\n");
  print_noise(sampled);
  const auto& samples = sampled.rows;
  if (!options.out.empty())
    METALLIC_CHECK(
        write_out(options.out, samples, record_device(*ctx, model_name(options.problems.model), options.sampling.seed)));
  LoadedMeasurements loaded;
  METALLIC_TRY(loaded.measurements, tune::from_samples(samples, "samples", ctx->threads()));
  loaded.device.device = ctx->device();
  const std::vector<ResultRow> rows = aggregate(loaded, *ctx);
  const std::string format = options.json ? "json" : options.format;
  if (format == "csv") {
    fmt::print("{}", to_csv(result_columns(), std::span<const ResultRow>(rows)));
  } else if (format == "json") {
    auto json = Json::array();
    for (const ResultRow& row : rows) {
      json.push_back(to_json(result_columns(), row));
      if (const auto roofline = roofline_of(row, sampled)) json.back()["floor_ns"] = *roofline;
    }
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{}", table(rows, sampled, format == "md"));
  }
  return Exit::done;
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "bench", "time all candidates in paired random blocks",
      [](const Command& command, Options& options) {
        add_problem_options(command, options.problems);
        add_sample_options(command, options.sampling);
        command.option("--format", options.format, "output format").one_of({"table", "md", "csv", "json"}).show_default();
        add_out_option(command, options.out);
        const Option device = add_device_option(command, options.device);
        const Option targets =
            command.option("--aims", options.targets,
                           "score our kernels against the performance targets in a file, e.g. benchmarks/cpu_targets.json");
        targets.type("FILE").excludes(device);  // only for the CPU
        command.option("--only", options.only, "only targets whose names contain this").needs(targets).type("TEXT");
        const Option layer = command.flag("--layer", options.layer.wanted, "time a whole decoder layer of the model");
        layer.excludes(device);
        command.option("--context", options.layer.context, "with --layer: sequence length when decoding")
            .between(int64_t{1}, int64_t{1} << 24)
            .needs(layer)
            .show_default()
            .type("TOKENS");
        command.option("--prompt", options.layer.prompt, "with --layer: tokens of the prefill")
            .between(int64_t{1}, int64_t{1} << 20)
            .needs(layer)
            .show_default()
            .type("TOKENS");
        command.flag("--json", options.json, "the same as --format json");
        // Targets name their problems; a layer has those of its model.
        for (const char* option : {"--op", "--shapes", "--cache", "--out"}) {
          targets.excludes(command.find(option));
          layer.excludes(command.find(option));
        }
        for (const Option option : {command.find("--model"), command.find("--dtype"), layer}) targets.excludes(option);
      },
      run);
}

}  // namespace metallic::cli
