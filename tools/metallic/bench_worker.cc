// metallic arms: times its own kernels when metallic gate asks, a line of JSON for each request.
#include "tools/metallic/bench_worker.h"

#include <iostream>

#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {

Result<std::pair<const Variant*, Tuning>> ContextArms::choose(const Problem& problem) {
  METALLIC_TRY(const Decision decision, context_.decide(problem));
  return std::pair(decision.variant, decision.tuning);
}

Result<std::unique_ptr<const Kernel>> ContextArms::prepare(const Problem& problem, const Variant& variant, const Tuning& tuning) {
  return variant.prepare(problem, tuning, context_.device(), context_);
}

void add_arms(CLI::App& app, Action& action) {
  struct Options {};
  add_command<Options>(
      app, action, "arms", "internal: what metallic gate starts and asks for times (the protocol: tuner/bench/bench_worker.h)",
      [](CLI::App&, Options&) {},
      [](const Options&) -> Result<Exit> {
        METALLIC_TRY(const auto ctx, context(""));
        ContextArms source(*ctx);
        serve_arms(std::cin, std::cout, ctx->device(), ctx->executor(), source);
        return Exit::done;
      });
}

}  // namespace metallic::cli
