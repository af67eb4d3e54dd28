// SPDX-License-Identifier: Apache-2.0
// metallic explain: the variant that runs a problem, the rule that chose it, and why the others were not chosen.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "dispatch/decision_json.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {
namespace {

struct Options {
  std::vector<std::string> words;
  std::string dtype = "f32";
  std::string variant;
  std::string model;
  std::string profile;
  std::string device = "cpu";
  bool json = false;
};

// Explains the parts of a composed variant in the same way, indented by two columns.
void print(const Decision& decision, int indent) {
  const auto line = [indent](std::string_view text) { fmt::print("{:{}}{}\n", "", indent, text); };
  line(fmt::format("  runs    {}", to_string(*decision.variant, decision.tuning)));
  line(fmt::format("  because {}", decision.rule));
  line(fmt::format("  source  {}", name(decision.source)));
  line(fmt::format("  margin  {}",
                   decision.margin ? fmt::format("{:.1f} % faster than the next best variant, measured", *decision.margin * 100)
                                   : "not measured"));
  for (const Refusal& refused : decision.refused) line(fmt::format("  skipped {}", refused.what));
  line("candidates");
  for (const Candidate& candidate : decision.candidates)
    line(fmt::format("  {:<28} {}", to_string(*candidate.variant, candidate.tuning),
                     candidate.rejected.empty() ? "chosen" : candidate.rejected));
  if (!decision.parts.empty()) line("parts");
  for (const Decision& part : decision.parts) {
    const Problem& p = part.problem;
    line(fmt::format("  {} {} {}, {} thread{}", name(p.op()), label(p), name(p.dtype), p.threads, p.threads == 1 ? "" : "s"));
    print(part, indent + 2);
  }
}

Result<Exit> run(const Options& options) {
  METALLIC_TRY(const Problem problem, one_problem(options.words, options.dtype));
  METALLIC_TRY(const auto ctx, context(options.model, options.profile, calls_library(options.variant), options.device));
  // A plan, not only a decision: a composed variant decides its parts when it is prepared.
  const CallOptions call{.variant = options.variant, .numerics = std::nullopt};
  METALLIC_TRY(const Plan plan, ctx->plan(problem, call));
  METALLIC_TRY(const Decision decision, ctx->explain(plan, call));
  if (options.json) {
    fmt::print("{}\n", to_json(decision, ctx->device()).dump(2, ' ', false, Json::error_handler_t::replace));
    return Exit::done;
  }
  const Problem& p = decision.problem;
  fmt::print("{} {} {} on {}, {} thread{}\n", name(p.op()), label(p), name(p.dtype), ctx->device().model, p.threads,
             p.threads == 1 ? "" : "s");
  print(decision, 0);
  return Exit::done;
}

}  // namespace

void add_explain(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "explain", "show which variant runs a problem, and why",
      [](const Command& command, Options& options) {
        command.option("problem", options.words, "[op] label, e.g. softmax rows64_seqk256").required().count(1, 2).type("LABEL");
        command.option("--dtype", options.dtype, "element type: f32, f16 or bf16").type("DTYPE").show_default();
        command.option("--variant", options.variant, "force a variant (see metallic list), unless the environment forces another")
            .type("VARIANT");
        command.option("--model", options.model, "use the profile of this model").type("MODEL");
        command.option("--profile", options.profile, "prefer this profile to the installed one").type("FILE");
        add_device_option(command, options.device);
        command.flag("--json", options.json, "print JSON");
      },
      run);
}

}  // namespace metallic::cli
