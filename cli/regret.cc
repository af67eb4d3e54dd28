// metallic regret: what the dispatcher chooses against the best of all candidates, on samples that the rules have not seen.
#include <fmt/format.h>

#include <algorithm>

#include "backends/cpu/facts.h"
#include "cli/campaign.h"
#include "cli/command.h"
#include "cli/pipeline.h"
#include "dispatch/profile_store.h"
#include "formats/file.h"

namespace metallic::cli {
namespace {

struct Options {
  ProblemOptions problems;
  SampleOptions sampling{.budget_s = 120};
  std::string samples;
  std::string profile;
  bool json = false;
};

struct Score {
  const tune::Series* series;
  tune::Choice chosen, best;
  std::optional<double> regret, default_regret;
};

tune::RegretSummary summarize(const std::vector<Score>& scores, std::optional<double> Score::*which) {
  std::vector<tune::Scored> scored;
  for (const Score& score : scores)
    if (score.*which) scored.push_back({*(score.*which), score.series->weight});
  return tune::summarize(scored);
}

// The decision for each series; the environment counts, so that an override's price can be measured too.
Result<std::vector<Score>> score(const tune::Measurements& measurements, const Context& ctx) {
  const auto default_choice = analysis_options(ctx.facts()).default_choice;
  std::vector<Score> scores;
  for (const tune::Series& series : measurements.series) {
    METALLIC_TRY(const Decision decision,
                 select(series.problem, {ctx.facts(), ctx.environment(), CallOptions{}, ctx.profiles()}));
    const tune::Effects effects = tune::effects(series);
    Score score{.series = &series,
                .chosen = {std::string(decision.variant->name), to_string(decision.tuning)},
                .best = best_choice(series, effects)};
    score.regret = cross_fitted_regret(series, score.chosen);
    score.default_regret = cross_fitted_regret(series, default_choice(series.problem));
    scores.push_back(std::move(score));
  }
  return scores;
}

Json json(const std::vector<Score>& scores) {
  const auto number = [](std::optional<double> value) { return value ? Json(*value) : Json(nullptr); };
  auto shapes = Json::array();
  for (const Score& s : scores)
    shapes.push_back({{"op", name(s.series->problem.op())},
                      {"label", s.series->label},
                      {"dtype", name(s.series->problem.dtype)},
                      {"cache", s.series->cache},
                      {"chosen", to_string(s.chosen)},
                      {"best", to_string(s.best)},
                      {"regret", number(s.regret)},
                      {"default_regret", number(s.default_regret)}});
  const auto mine = summarize(scores, &Score::regret), defaults = summarize(scores, &Score::default_regret);
  return {{"mean", mine.mean},
          {"p95", mine.p95},
          {"worst", mine.worst},
          {"default", {{"mean", defaults.mean}, {"p95", defaults.p95}, {"worst", defaults.worst}}},
          {"shapes", shapes}};
}

void print(std::vector<Score> scores) {
  const auto line = [](std::string_view who, const tune::RegretSummary& s) {
    fmt::print("{:<18} mean {:6.2f} %   p95 {:6.2f} %   worst {:6.2f} %   over {} problems\n", who, s.mean * 100, s.p95 * 100,
               s.worst * 100, s.series);
  };
  line("chosen", summarize(scores, &Score::regret));
  line("built-in defaults", summarize(scores, &Score::default_regret));
  std::ranges::sort(scores, std::greater(), [](const Score& s) { return s.regret.value_or(-1); });
  fmt::print("where most is lost\n");
  for (size_t i = 0; i < std::min<size_t>(10, scores.size()); ++i) {
    const Score& s = scores[i];
    if (s.regret)
      fmt::print("  {:<34} {:<5} {:7.2f} %  chosen {}, best {}\n", s.series->label, s.series->cache, *s.regret * 100,
                 to_string(s.chosen), to_string(s.best));
    else
      fmt::print("  {:<34} {:<5} not timed: {}\n", s.series->label, s.series->cache, to_string(s.chosen));
  }
}

Result<Exit> run(Options options) {
  if (!options.profile.empty())
    METALLIC_CHECK(load_profile(options.profile, cpu::facts()));  // asked for: a fault is an error here, not a warning
  METALLIC_TRY(const auto ctx, context(options.problems.model, options.profile, options.sampling.peers));
  Loaded loaded;
  if (!options.samples.empty()) {
    METALLIC_TRY(loaded, load_measurements(options.samples, ctx->facts(), ctx->threads()));
    const std::string here = fingerprint(ctx->facts());
    if (loaded.measurements.device != "unknown" && loaded.measurements.device != here)
      return fail(Code::invalid_argument, "{}: samples of {}, this device is {}", options.samples,
                  in_quotes(loaded.measurements.device), here);
  } else {
    METALLIC_TRY(const auto problem_list, problems(options.problems));
    draw_seed(options.sampling);
    if (!ctx->facts().libraries.empty()) options.sampling.peers = true;  // what a rule may choose is timed
    METALLIC_TRY(const Sampled sampled, run_campaign(problem_list, *ctx, options.sampling, {.adaptive = false}));
    if (const Judgement judged = judge(sampled.noise); judged.trust != Trust::calm) fmt::print(stderr, "{}\n", judged.why);
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
      app, action, "regret", "chosen against best, measured now or on recorded samples",
      [](CLI::App& command, Options& options) {
        add_problem_options(command, options.problems);
        add_sample_options(command, options.sampling);
        command.add_option("--samples", options.samples, "score on these samples instead of measuring")->type_name("FILE");
        command
            .add_option("--profile", options.profile,
                        "score this profile's rules; where it has none, the installed and built-in ones")
            ->type_name("FILE");
        command.add_flag("--json", options.json, "print JSON");
      },
      run);
}

}  // namespace metallic::cli
