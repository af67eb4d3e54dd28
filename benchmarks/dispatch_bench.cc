// SPDX-License-Identifier: Apache-2.0
// The cost of dispatch: a plan that the context has, a plan for a new shape, a choice by a profile, and loading a profile; the
// first and the third next to an empty call of the same form.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <stdexcept>

#include "base/file.h"
#include "benchmarks/kernel_benchmark.h"
#include "dispatch/built_in_profiles.h"
#include "dispatch/profile_store.h"
#include "metallic/metallic.h"
#include "ops/label.h"
#include "ops/operation.h"
#include "ops/softmax/shape.h"

namespace metallic::benchmarks {
namespace {

// A temporary folder for profiles.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_(std::filesystem::temp_directory_path() / fmt::format("metallic_dispatch_bench_{}", getpid())) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string write(std::string_view name, const Profile& profile) const {
    const auto path = path_ / name;
    if (const auto written = write_file(path, to_json(profile)); !written) throw std::runtime_error(written.error().message);
    return path.native();
  }

 private:
  std::filesystem::path path_;
};

// Makes a profile look as if it was measured here, with the threads of the context.
Profile as_own(Profile profile, const Context& context) {
  profile.device = context.device();
  profile.fingerprint = fingerprint(context.device());
  for (RuleList& list : profile.lists) list.key.threads = context.threads();
  return profile;
}

// The profile that METALLIC_PROFILE names, or the largest that is built in.
Profile typical(const Context& context) {
  if (const auto& path = context.environment().profile; path && *path != "none")
    if (const auto profile = load_profile(*path, context.device()))
      return *profile;  // the context has already warned if it is unusable
  const auto profiles = built_in_profiles();
  return std::ranges::max_element(profiles, {}, [](const BuiltInProfile& one) { return to_json(one.profile).size(); })->profile;
}

// Far more rules than tuning writes, to see the cost of a rule: softmax in 60 bands of rows, of which the last one matches.
Profile with_sixty_rules() {
  RuleList list{{.op = kSoftmax, .layout = "contiguous"}, {}};
  for (int64_t band = 0; band < 60; ++band)
    list.rules.push_back({.when = {{.axis = Axis::rows, .low = band * 16 + 1, .high = band * 16 + 16},
                                   {.axis = Axis::seq_k, .low = 1, .high = 1 << 20}},
                          .use = "cpu_vec",
                          .tuning = "unroll=4"});
  return {.lists = {std::move(list)}};
}

// Ignores the environment, so that only this profile applies.
ContextOptions with_profile(std::string path, const Context& context) {
  return {
      .profile = std::move(path), .executor = &context.executor(), .environment = [](std::string_view) { return std::nullopt; }};
}

[[gnu::noinline]] metallic_status no_plan(metallic_context* context, const metallic_problem* problem, metallic_plan** plan) {
  benchmark::DoNotOptimize(context);
  benchmark::DoNotOptimize(problem);
  *plan = nullptr;
  return METALLIC_OK;
}
[[gnu::noinline]] Result<Choice> no_choice(const Context& context, const Problem& problem) {
  benchmark::DoNotOptimize(&context);
  benchmark::DoNotOptimize(&problem);
  return Choice();
}
Result<Choice> choose(const Context& context, const Problem& problem) { return context.choose(problem); }

// Calls for several problems in turn: with a single shape all branches are predicted.
template <typename Call>
void add_calls(const std::string& name, std::shared_ptr<Context> context, std::vector<Problem> problems, const Call& call) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    for (const Problem& problem : problems)
      if (const auto first = call(*context, problem); !first) return fail_benchmark(state, first.error().message);
    size_t next = 0;
    for (auto _ : state) {
      benchmark::DoNotOptimize(call(*context, problems[next]));
      if (++next == problems.size()) next = 0;
    }
  });
}

// A sequence too long for branch predictors to learn.
std::vector<Problem> shuffled(const std::vector<Problem>& some) {
  std::mt19937 random(1);
  std::vector<Problem> many;
  for (int i = 0; i < 1024; ++i) many.push_back(some[random() % some.size()]);
  return many;
}

// The same through the C interface, as an engine calls it.
using CContext = std::shared_ptr<metallic_context>;
CContext make_c_context(const std::string& profile, const Context& context) {
  metallic_context_options options{};
  options.struct_size = sizeof(options);
  options.profile = profile.c_str();
  options.threads = context.threads();
  metallic_context* made = nullptr;
  if (metallic_context_create(&options, &made) != METALLIC_OK) throw std::runtime_error(metallic_last_error());
  return {made, metallic_context_destroy};
}

metallic_problem as_c(const Problem& problem) {
  metallic_problem filled = problem.op()->to_c(problem);
  filled.struct_size = sizeof(filled);
  return filled;
}

template <typename Find>
void add_plans(const std::string& name, CContext context, const std::vector<Problem>& problems, const Find& find) {
  std::vector<metallic_problem> as_given;
  for (const Problem& problem : problems) as_given.push_back(as_c(problem));
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    metallic_plan* plan = nullptr;
    const auto call = [&](const metallic_problem& problem) {
      const metallic_status status = find(context.get(), &problem, &plan);
      metallic_plan_release(plan);
      return status;
    };
    for (const metallic_problem& problem : as_given)
      if (call(problem) != METALLIC_OK) return fail_benchmark(state, metallic_last_error());
    size_t next = 0;
    for (auto _ : state) {
      benchmark::DoNotOptimize(call(as_given[next]));
      if (++next == as_given.size()) next = 0;
    }
  });
}

void add_loading(const std::string& path, const Context& context) {
  benchmark::RegisterBenchmark("dispatch/profile_load", [=, &context](benchmark::State& state) {
    for (auto _ : state) {
      auto profile = load_profile(path, context.device());
      if (!profile) return fail_benchmark(state, profile.error().message);
      benchmark::DoNotOptimize(stale_entries(*profile));
      benchmark::DoNotOptimize(drop_stale_libraries(*profile, context.device()));
    }
  });
  benchmark::RegisterBenchmark("dispatch/context_create", [=, &context](benchmark::State& state) {
    for (auto _ : state) {
      const auto made = Context::create(with_profile(path, context));
      if (!made) return fail_benchmark(state, made.error().message);
    }
  });
}

std::shared_ptr<Context> make_context(ContextOptions options) {
  auto made = Context::create(std::move(options));
  if (!made) throw std::runtime_error(made.error().message);
  return std::move(*made);
}

void register_all(Context& context) {
  static const TemporaryFolder folder;
  const std::string path = folder.write("typical.json", as_own(typical(context), context));
  const auto tuned = make_context(with_profile(path, context));
  const CContext c_context = make_c_context(path, context);
  const auto long_list = make_context(with_profile(folder.write("long.json", as_own(with_sixty_rules(), context)), context));
  const std::vector<Problem> of_each_op[] = {
      problems({"rows1+4+64+2048_seqk64..16384", "batch4_seqq64_seqk256+1024_causal"}),
      problems({"4096x4096x1+2+3+4+8+16+32+512", "1+2+3+4+8+16+32+512x4096x4096_tb", "64x64x64", "1024x1024x1024"}),
      problems({"batch1_h32kv8_seqq1_seqk512+2048+8192_d128_causal", "batch1_h32kv8_seqq128+512_seqk512_d128_causal"})};
  for (const std::vector<Problem>& some : of_each_op) {
    const Problem &first = some.front(), &last = some.back();
    for (const Problem& problem : {first, last}) {
      const std::string of = fmt::format("{}/{}", name(problem.dtype), label(problem));
      add_plans("dispatch/noop_plan/" + of, c_context, {problem}, no_plan);
      add_plans("dispatch/kept_plan/" + of, c_context, {problem}, metallic_plan_acquire);
      add_plans("dispatch/new_plan/" + of, c_context, {problem}, metallic_plan_create);
      add_calls("dispatch/noop_choice/" + of, tuned, {problem}, no_choice);
      add_calls("dispatch/choice/" + of, tuned, {problem}, choose);
    }
    const std::string mixed = fmt::format("f32/{}_mixed", name(first.op()));
    add_plans("dispatch/noop_plan/" + mixed, c_context, shuffled(some), no_plan);
    add_plans("dispatch/kept_plan/" + mixed, c_context, shuffled(some), metallic_plan_acquire);
    add_calls("dispatch/noop_choice/" + mixed, tuned, shuffled(some), no_choice);
    add_calls("dispatch/choice/" + mixed, tuned, shuffled(some), choose);
  }
  add_calls("dispatch/choice_of_60_rules/f32/rows960_seqk64", long_list, {softmax_problem(960, 64)}, choose);
  add_loading(path, context);
}

}  // namespace
}  // namespace metallic::benchmarks

int main(int argc, char** argv) { return metallic::benchmarks::run_program(argc, argv, metallic::benchmarks::register_all); }
