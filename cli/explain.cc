// metallic explain: which variant runs a problem, which rule of which profile said so, and why each other one does not.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/inputs.h"
#include "core/label.h"
#include "dispatch/decision_json.h"
#include "kernels/variants.h"

namespace metallic::cli {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string dtype = "f32";
  std::string variant;
  std::string model;
  std::string profile;
  bool json = false;
};

Result<Exit> run(const Options& options) {
  METALLIC_TRY(const Problem problem, one_problem(options.words, options.dtype));
  METALLIC_TRY(const auto ctx, context(options.model, options.profile, calls_library(options.variant)));
  METALLIC_TRY(const Decision decision, ctx->decide(problem, {.variant = options.variant, .numerics = std::nullopt}));
  if (options.json) {
    fmt::print("{}\n", to_json(decision, ctx->facts()).dump(2, ' ', false, Json::error_handler_t::replace));
    return Exit::done;
  }
  const Problem& p = decision.problem;
  fmt::print("{} {} {} on {}, {} thread{}\n", name(p.op()), label(p), name(p.dtype), ctx->facts().model, p.threads,
             p.threads == 1 ? "" : "s");
  fmt::print("  runs    {}\n", to_string(*decision.variant, decision.tuning));
  fmt::print("  because {}\n", decision.rule);
  fmt::print("  source  {}\n", name(decision.source));
  fmt::print("  margin  {}\n", decision.margin
                                   ? fmt::format("{:.1f} % faster than the best other variant, measured", *decision.margin * 100)
                                   : "not measured");
  for (const std::string& refused : decision.refused) fmt::print("  passed over  {}\n", refused);
  fmt::print("candidates\n");
  for (const Candidate& candidate : decision.candidates)
    fmt::print("  {:<28} {}\n", to_string(*candidate.variant, candidate.tuning),
               candidate.rejected.empty() ? "chosen" : candidate.rejected);
  return Exit::done;
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "explain", "which variant runs a problem, and why",
      [](CLI::App& command, Options& options) {
        command.add_option("problem", options.words, "[op] label, e.g. softmax rows64_seqk256")->required()->expected(1, 2);
        command.add_option("--dtype", options.dtype, "element type")->capture_default_str();
        command.add_option("--variant", options.variant, "force a variant, as a call can");
        command.add_option("--model", options.model, "use this model's profile");
        command.add_option("--profile", options.profile, "a profile of the caller's");
        command.add_flag("--json", options.json, "for programs");
      },
      run);
}

}  // namespace metallic::cli
