// SPDX-License-Identifier: Apache-2.0
// Softmax through the dispatcher: each variant forced, its own choice (auto), and the cost of choosing (noop).
#include "benchmarks/kernel_benchmark.h"
#include "ops/label.h"
#include "ops/registry.h"
#include "ops/softmax/shape.h"

namespace metallic::benchmarks {
namespace {

constexpr std::string_view kGroup = "softmax_dispatcher";

// Each variant that the dispatcher runs when it is forced. A variable such as METALLIC_SOFTMAX_VARIANT has priority: variants
// that it prevents are left out, since another one would be timed under their name.
void add_forced(Context& context, const Problem& problem) {
  for (const Variant& variant : variants(kSoftmax)) {
    if (variant.family == "reference") continue;
    const auto decision = context.decide(problem, {.variant = std::string(variant.name)});
    if (!decision || decision->variant != &variant) continue;
    for (const Tuning& tuning : variant.tunings) {
      if (variant.rejects(decision->problem, tuning, context.device())) continue;
      add(kGroup, to_string(variant, tuning), decision->problem, context, [&context, decision = *decision, tuning] {
        return decision.variant->prepare(decision.problem, tuning, context.device(), context);
      });
    }
  }
}

void add_auto(Context& context, const Problem& problem) {
  add(kGroup, "auto", problem, context, [&context, problem]() -> Result<std::unique_ptr<const Kernel>> {
    METALLIC_TRY(Plan plan, context.plan(problem));
    return std::move(plan.kernel);
  });
}

// Chooses a kernel and runs nothing.
void add_noop(Context& context, const Problem& problem) {
  const std::string name = fmt::format("{}/noop/{}/{}", kGroup, metallic::name(problem.dtype), label(problem));
  benchmark::RegisterBenchmark(name.c_str(), [&context, problem](benchmark::State& state) {
    if (const auto choice = context.choose(problem); !choice) return fail_benchmark(state, choice.error().message);
    for (auto _ : state) benchmark::DoNotOptimize(context.choose(problem));
    state.counters["threads_used"] = 1;
  })->UseRealTime();
}

void register_all(Context& context) {
  for (const Problem& problem : problems({
           "rows16+256_seqk64..8192",
           "batch4_seqq64_seqk256+1024+4096",
           "batch4_seqq64_seqk256+1024+4096_causal",
       })) {
    add_forced(context, problem);
    add_auto(context, problem);
  }
  for (const Problem& problem : problems({"rows16_seqk64", "rows256_seqk8192", "batch4_seqq64_seqk1024_causal"}))
    add_noop(context, problem);
}

}  // namespace
}  // namespace metallic::benchmarks

int main(int argc, char** argv) { return metallic::benchmarks::run_program(argc, argv, metallic::benchmarks::register_all); }
