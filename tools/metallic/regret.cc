// SPDX-License-Identifier: Apache-2.0
// metallic regret: compares the chosen candidates with the best ones, on new or recorded samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tools/metallic/command.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/tuning_run.h"
#include "tuner/workloads/shape_sampling.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling{.budget_s = 120};
  std::string samples;
  std::string profile;
  std::string out;
  std::string device = "cpu";
  size_t random = 0;
  bool json = false;
};

struct Score {
  const tune::Series* series;
  tune::KernelConfig chosen, best;
  std::optional<tune::Regret> regret, default_regret;
  // If libraries were timed: the choice without them, against our best kernel and against the best of all.
  std::optional<tune::Regret> own_regret, own_against_all;
};

tune::RegretSummary summarize(const std::vector<Score>& scores, std::optional<tune::Regret> Score::*which) {
  std::vector<tune::WeightedRegret> scored;
  for (const Score& score : scores)
    if (score.*which) scored.push_back({*(score.*which), score.series->weight});
  return tune::summarize(scored);
}

// Scores the choice among our own kernels, if libraries were timed on the series too.
Status score_own(const Context& ctx, Score& score) {
  tune::Series own = *score.series;
  std::erase_if(own.candidates,
                [&](const tune::CandidateTimes& candidate) { return is_library(candidate.config, own.problem.op()); });
  if (own.candidates.size() == score.series->candidates.size()) return {};
  DeviceInfo alone = ctx.device();
  alone.libraries.clear();
  METALLIC_TRY(const Decision decision, select(own.problem, {alone, ctx.environment(), CallOptions{}, ctx.profiles()}));
  const tune::KernelConfig chosen{std::string(decision.variant->name), to_string(decision.tuning)};
  score.own_regret = cross_fitted_regret(own, chosen);
  score.own_against_all = cross_fitted_regret(*score.series, chosen);
  return {};
}

// Scores the decision for each series. The environment applies, so the cost of an override can be measured.
Result<std::vector<Score>> score(const tune::Measurements& measurements, const Context& ctx) {
  const auto default_choice = analysis_options(ctx.device()).default_choice;
  std::vector<Score> scores;
  for (const tune::Series& series : measurements.series) {
    METALLIC_TRY(const Decision decision,
                 select(series.problem, {ctx.device(), ctx.environment(), CallOptions{}, ctx.profiles()}));
    const tune::BlockEffects effects = tune::fit_block_effects(series);
    Score score{.series = &series,
                .chosen = {std::string(decision.variant->name), to_string(decision.tuning)},
                .best = best_config(series, effects)};
    score.regret = cross_fitted_regret(series, score.chosen);
    score.default_regret = cross_fitted_regret(series, default_choice(series.problem));
    METALLIC_CHECK(score_own(ctx, score));
    scores.push_back(std::move(score));
  }
  return scores;
}

std::optional<tune::Regret> worst(const std::vector<Score>& scores, std::optional<tune::Regret> Score::*which) {
  const auto most = std::ranges::max_element(scores, {}, [&](const Score& s) { return (s.*which) ? (s.*which)->value : -1; });
  return most == scores.end() ? std::nullopt : (*most).*which;
}

bool has_own(const std::vector<Score>& scores) {
  return std::ranges::any_of(scores, [](const Score& s) { return s.own_regret.has_value(); });
}

Json json(const std::vector<Score>& scores) {
  const auto number = [](const std::optional<tune::Regret>& regret) { return regret ? Json(regret->value) : Json(nullptr); };
  const auto interval = [](const std::optional<tune::Regret>& regret) {
    return regret && std::isfinite(regret->high) ? Json{regret->low, regret->high} : Json(nullptr);
  };
  const auto summary = [&](std::optional<tune::Regret> Score::*which) {
    const auto s = summarize(scores, which);
    return Json{{"mean", s.mean},      {"mean_interval", {s.mean_low, s.mean_high}},
                {"p95", s.p95},        {"p95_interval", {s.p95_low, s.p95_high}},
                {"worst", s.worst},    {"worst_interval", interval(worst(scores, which))},
                {"problems", s.series}};
  };
  auto shapes = Json::array();
  for (const Score& s : scores)
    shapes.push_back({{"op", name(s.series->problem.op())},
                      {"label", s.series->label},
                      {"dtype", name(s.series->problem.dtype)},
                      {"cache", s.series->cache},
                      {"chosen", to_string(s.chosen)},
                      {"best", to_string(s.best)},
                      {"regret", number(s.regret)},
                      {"interval", interval(s.regret)},
                      {"default_regret", number(s.default_regret)},
                      {"own_regret", number(s.own_regret)},
                      {"own_against_all", number(s.own_against_all)}});
  Json all = summary(&Score::regret);
  all["default"] = summary(&Score::default_regret);
  if (has_own(scores)) all["own"] = summary(&Score::own_regret), all["own_against_all"] = summary(&Score::own_against_all);
  all["shapes"] = std::move(shapes);
  return all;
}

std::string interval_text(const tune::Regret& regret) {
  return std::isfinite(regret.high) ? fmt::format("[{:.1f}, {:.1f}]", regret.low * 100, regret.high * 100) : "[?, ?]";
}

void print(std::vector<Score> scores) {
  const auto line = [&](std::string_view who, std::optional<tune::Regret> Score::*which) {
    const auto s = summarize(scores, which);
    const auto most = worst(scores, which).value_or(tune::Regret());
    fmt::print("{:<36} mean {:6.2f} % [{:.2f}, {:.2f}]   p95 {:6.2f} % [{:.2f}, {:.2f}]   worst {:6.2f} % {}   over {}\n", who,
               s.mean * 100, s.mean_low * 100, s.mean_high * 100, s.p95 * 100, s.p95_low * 100, s.p95_high * 100, s.worst * 100,
               interval_text(most), s.series);
  };
  fmt::print("regret against the best candidate, cross-fitted, with 95 % intervals\n");
  line("chosen", &Score::regret);
  line("built-in defaults", &Score::default_regret);
  if (has_own(scores)) {
    line("our kernels against our best", &Score::own_regret);
    line("our kernels against the best of all", &Score::own_against_all);
  }
  std::ranges::sort(scores, std::greater(), [](const Score& s) { return s.regret ? s.regret->value : -1; });
  fmt::print("largest regret\n");
  for (size_t i = 0; i < std::min<size_t>(10, scores.size()); ++i) {
    const Score& s = scores[i];
    if (s.regret)
      fmt::print("  {:<34} {:<4} {:<5} {:7.2f} % {}  chosen {}, best {}\n", s.series->label, name(s.series->problem.dtype),
                 s.series->cache, s.regret->value * 100, interval_text(*s.regret), to_string(s.chosen), to_string(s.best));
    else
      fmt::print("  {:<34} {:<4} {:<5} not timed: {}\n", s.series->label, name(s.series->problem.dtype), s.series->cache,
                 to_string(s.chosen));
  }
}

Result<Exit> run(Options options) {
  METALLIC_TRY(const auto ctx, context(options.problems.model, options.profile, options.sampling.peers, options.device));
  LoadedMeasurements loaded;
  if (!options.samples.empty()) {
    METALLIC_TRY(loaded, load_measurements(options.samples, ctx->device(), ctx->threads()));
    const std::string here = fingerprint(ctx->device());
    if (loaded.measurements.device != "unknown" && loaded.measurements.device != here)
      return fail(Code::invalid_argument, "{}: the samples are of {}, this device is {}", options.samples,
                  in_quotes(loaded.measurements.device), here);
  } else {
    METALLIC_TRY(auto problem_list, problems(options.problems));
    if (!options.out.empty()) METALLIC_CHECK(check_out(options.out));
    draw_seed(options.sampling);
    if (options.random > 0) problem_list = sample_held_out_shapes(problem_list, options.random, options.sampling.seed);
    if (!ctx->device().libraries.empty()) options.sampling.peers = true;  // rules may choose libraries
    METALLIC_TRY(const TuningRun sampled, run_tuning(problem_list, *ctx, options.sampling, {.adaptive = false}));
    print_noise(sampled);
    if (!options.out.empty())
      METALLIC_CHECK(
          write_out(options.out, sampled.rows, record_device(*ctx, model_name(options.problems.model), options.sampling.seed)));
    METALLIC_TRY(loaded.measurements, tune::from_samples(sampled.rows, "samples", ctx->threads()));
  }
  METALLIC_TRY(const auto scores, score(loaded.measurements, *ctx));
  if (options.json)
    fmt::print("{}\n", json(scores).dump(2, ' ', false, Json::error_handler_t::replace));
  else
    print(scores);
  return Exit::done;
}

}  // namespace

void add_regret(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "regret", "compare the chosen kernels with the best ones, measured now or on recorded samples",
      [](const Command& command, Options& options) {
        add_problem_options(command, options.problems);
        add_sample_options(command, options.sampling);
        add_device_option(command, options.device);
        const Option samples =
            command.option("--samples", options.samples, "use these samples instead of measuring").type("FILE");
        add_out_option(command, options.out).excludes(samples);
        command
            .option("--profile", options.profile,
                    "score the rules of this profile; for cases without rules, those of the installed and built-in ones")
            .type("FILE");
        command.option("--random", options.random, "measure this many random held-out shapes around those of the model")
            .between(int64_t{1}, int64_t{10000})
            .type("COUNT");
        command.flag("--json", options.json, "print JSON");
        for (const char* option : {"--op", "--shapes", "--dtype", "--cache", "--budget", "--random"})
          samples.excludes(command.find(option));
      },
      run);
}

}  // namespace metallic::cli
