// metallic bench: paired timings of all candidates, as a table for people or files for programs.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/metallic/targets.h"
#include "tools/metallic/tuning_run.h"
#include "tools/metallic/command.h"
#include "tools/metallic/layer.h"
#include "tools/metallic/pipeline.h"
#include "base/file.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling{.budget_s = 20};
  std::string format = "table";
  std::string out;
  LayerOptions layer;
  std::string aims, only;
  std::string device = "cpu";
  bool json = false;
};

// What moving a row's operands takes, if that was timed.
std::optional<double> floor_of(const ResultRow& row, const TuningRun& sampled) {
  const auto found = sampled.floors.find({row.parameters, row.dtype, row.cache});
  return found == sampled.floors.end() ? std::nullopt : std::optional(found->second);
}

std::string table(const std::vector<ResultRow>& rows, const TuningRun& sampled, bool markdown) {
  const bool floors = !sampled.floors.empty();
  std::string text = markdown
                         ? fmt::format(
                               "| problem | dtype | cache | variant | median µs | 95 % | GB/s | GFLOP/s "
                               "|{}\n|---|---|---|---|---:|---:|---:|---:|{}\n",
                               floors ? " of floor |" : "", floors ? "---:|" : "")
                         : fmt::format("{:<34} {:<5} {:<5} {:<26} {:>12} {:>21} {:>8} {:>9}{}\n", "problem", "dtype", "cache",
                                       "variant", "median µs", "95 %", "GB/s", "GFLOP/s", floors ? "  of floor" : "");
  for (const ResultRow& row : rows) {
    const std::string variant = row.tuning.empty() ? row.variant : fmt::format("{}@{}", row.variant, row.tuning);
    const std::string interval = fmt::format("{:.1f}–{:.1f}", row.ci_low / 1e3, row.ci_high / 1e3);
    constexpr std::string_view kMarkdown = "| {} | {} | {} | {} | {:.1f} | {} | {:.1f} | {:.1f} |{}\n";
    constexpr std::string_view kColumns = "{:<34} {:<5} {:<5} {:<26} {:>11.1f} {:>21} {:>8.1f} {:>9.1f}{}\n";
    const auto floor = floor_of(row, sampled);
    const std::string of_floor =
        floor ? fmt::format(fmt::runtime(markdown ? " {:.2f} |" : "{:>10.2f}"), *floor / row.median_time) : "";
    text += fmt::format(fmt::runtime(markdown ? kMarkdown : kColumns), row.parameters, row.dtype, row.cache, variant,
                        row.median_time / 1e3, interval, row.bytes / row.median_time, row.flops / row.median_time, of_floor);
  }
  return text;
}

Result<Exit> run(Options options) {
  if (!options.aims.empty()) {
    draw_seed(options.sampling);
    return bench_targets(options.aims, options.only, options.sampling, options.json || options.format == "json");
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
  options.sampling.floors = ctx->facts().backend != "cpu";
  METALLIC_TRY(const TuningRun sampled, run_tuning(problem_list, *ctx, options.sampling, {.adaptive = false}));
  if (sampled.interrupted) fmt::print(stderr, "interrupted: what was measured until then follows\n");
  print_noise(sampled);
  const auto& samples = sampled.rows;
  if (!options.out.empty())
    METALLIC_CHECK(
        write_out(options.out, samples, record_device(*ctx, model_name(options.problems.model), options.sampling.seed)));
  LoadedMeasurements loaded;
  METALLIC_TRY(loaded.measurements, tune::from_samples(samples, "samples", ctx->threads()));
  loaded.device.facts = ctx->facts();
  const std::vector<ResultRow> rows = aggregate(loaded, *ctx);
  const std::string format = options.json ? "json" : options.format;
  if (format == "csv") {
    fmt::print("{}", to_csv(result_columns(), std::span<const ResultRow>(rows)));
  } else if (format == "json") {
    auto json = Json::array();
    for (const ResultRow& row : rows) {
      json.push_back(to_json(result_columns(), row));
      if (const auto floor = floor_of(row, sampled)) json.back()["floor_ns"] = *floor;
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
      [](CLI::App& command, Options& options) {
        add_problem_options(command, options.problems);
        add_sample_options(command, options.sampling);
        command.add_option("--format", options.format, "how results are printed")
            ->check(CLI::IsMember({"table", "md", "csv", "json"}))
            ->capture_default_str();
        add_out_option(command, options.out);
        CLI::Option* device = add_device_option(command, options.device);
        CLI::Option* aims = command.add_option("--aims", options.aims,
                                               "score our kernels against the aims in a file, e.g. benchmarks/cpu_aims.json");
        aims->type_name("FILE")->excludes(device);  // the CPU's
        command.add_option("--only", options.only, "aims whose names contain this")->needs(aims)->type_name("TEXT");
        CLI::Option* layer =
            command.add_flag("--layer", options.layer.wanted,
                             "a whole layer of the model instead, through the dispatcher, by the fixed defaults, "
                             "and with --peers by each library");
        layer->excludes(device);
        command.add_option("--context", options.layer.context, "tokens that a decoded one sees")
            ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
            ->needs(layer)
            ->capture_default_str()
            ->type_name("TOKENS");
        command.add_option("--prompt", options.layer.prompt, "tokens of the prefill")
            ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
            ->needs(layer)
            ->capture_default_str()
            ->type_name("TOKENS");
        command.add_flag("--json", options.json, "the same as --format json");
        // Aims name their problems, a layer's are those of the model.
        for (const char* option : {"--op", "--shapes", "--cache", "--out"}) {
          aims->excludes(command.get_option(option));
          layer->excludes(command.get_option(option));
        }
        for (CLI::Option* option : {command.get_option("--model"), command.get_option("--dtype"), layer}) aims->excludes(option);
      },
      run);
}

}  // namespace metallic::cli
