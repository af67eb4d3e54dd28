// SPDX-License-Identifier: Apache-2.0
// metallic arms: the bench worker that metallic gate starts.
#include "tools/metallic/bench_worker.h"

#include <iostream>

#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"

namespace metallic::cli {

Result<std::pair<const Variant*, Tuning>> ContextKernels::choose(const Problem& problem) {
  METALLIC_TRY(const Decision decision, context_.decide(problem));
  return std::pair(decision.variant, decision.tuning);
}

Result<std::unique_ptr<const Kernel>> ContextKernels::prepare(const Problem& problem, const Variant& variant,
                                                              const Tuning& tuning) {
  return variant.prepare(problem, tuning, context_.device(), context_);
}

void add_bench_worker(CLI::App& app, Action& action) {
  struct Options {};
  add_command<Options>(
      app, action, "arms", "internal: bench worker that `metallic gate` starts (protocol: tuner/bench/bench_worker.h)",
      [](const Command&, Options&) {},
      [](const Options&) -> Result<Exit> {
        METALLIC_TRY(const auto ctx, context(""));
        ContextKernels source(*ctx);
        run_bench_worker(std::cin, std::cout, ctx->device(), ctx->executor(), source);
        return Exit::done;
      });
}

}  // namespace metallic::cli
