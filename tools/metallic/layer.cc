// SPDX-License-Identifier: Apache-2.0
// Prepares the kernels of each setup, times passes through a layer, and prints them.
#include "tools/metallic/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "ops/label.h"
#include "ops/matmul/shape.h"
#include "ops/registry.h"
#include "ops/softmax/shape.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/progress.h"
#include "tuner/bench/buffer.h"
#include "tuner/bench/idle.h"
#include "tuner/bench/timer.h"
#include "tuner/stats/quantile.h"
#include "tuner/verify/oracle.h"
#include "tuner/workloads/layer.h"

namespace metallic::cli {
namespace {

// A source of kernels: the dispatcher, with plain or with packed weights; the fixed defaults; or one library for all that it can
// run.
struct Setup {
  std::string name;
  std::shared_ptr<Context> context;
  bool packed = false;

  Problem problem(const LayerStep& step) const {
    Problem made = step.problem;
    // Experts are a batch, and packed weights are one matrix.
    if (packed && made.shape.holds<MatmulShape>() && made.as<MatmulShape>().batch == 1) make_packed(made.as<MatmulShape>());
    return made;
  }
};

struct TimedStep {
  LayerStep step;
  std::array<Buffer, 4> operands;
  double roofline_ns = 0;
  std::vector<Plan> plans;                 // by setup
  std::vector<std::vector<double>> times;  // by setup, ns
  double median_ns(size_t setup) const { return tune::median(times[setup]); }
};

struct Phase {
  std::string name;
  double tokens;  // in one pass
  std::vector<TimedStep> steps;
};

// A context with the given variables on top of the environment. It does not log: a library is also asked for what it cannot run.
Result<Setup> forced(std::string name, std::map<std::string, std::string, std::less<>> variables, bool libraries,
                     Executor& executor) {
  variables["METALLIC_PROFILE"] = "none";
  variables["METALLIC_SDPA_VARIANT"] = "cpu_materialized";  // libraries have no attention: it is composed of matmul and softmax
  ContextOptions options{
      .executor = &executor,
      .libraries = libraries,
      .environment = [variables, process = process_environment()](std::string_view variable) -> std::optional<std::string> {
        const auto found = variables.find(variable);
        return found == variables.end() ? process(variable) : std::optional(found->second);
      },
      .log = [](std::string_view, std::string_view) {}};
  METALLIC_TRY(auto context, Context::create(std::move(options)));
  return Setup{std::move(name), std::move(context)};
}

Result<std::vector<Setup>> setups(const std::string& model, bool peers) {
  std::vector<Setup> found;
  METALLIC_TRY(const std::shared_ptr<Context> own, context(model, "", peers));
  Executor& executor = own->executor();
  const std::vector<Library> libraries = own->device().libraries;
  found.push_back({"dispatcher", own});
  found.push_back({"packed weights", own, /*packed=*/true});
  METALLIC_TRY(found.emplace_back(), forced("fixed defaults", {}, false, executor));
  for (const Library& library : libraries) {
    std::map<std::string, std::string, std::less<>> variables = {{"METALLIC_MATMUL_BACKEND", "cpu_" + library.name}};
    if (find_variant(kSoftmax, "cpu_" + library.name)) variables["METALLIC_SOFTMAX_VARIANT"] = "cpu_" + library.name;
    METALLIC_TRY(found.emplace_back(), forced(library.name, std::move(variables), true, executor));
  }
  return found;
}

Result<Phase> make_phase(std::string name, double tokens, std::vector<LayerStep> steps, const std::vector<Setup>& all,
                         const DeviceRecord& device, uint64_t seed) {
  Phase phase{std::move(name), tokens, {}};
  double total = 0;
  for (const LayerStep& step : steps)
    for (const int64_t bytes : operand_bytes(step.problem)) total += static_cast<double>(bytes);
  const auto memory = static_cast<double>(device.device.memory_bytes);
  if (memory > 0 && total > 0.8 * memory)
    return fail(Code::out_of_memory, "a layer and lm_head need {:.1f} GiB and this machine has {:.1f} GiB: use a smaller model",
                total / (1 << 30), memory / (1 << 30));
  for (LayerStep& step : steps) {
    step.problem.threads = device.threads;
    TimedStep timed{.step = std::move(step), .operands = {}, .plans = {}, .times = std::vector<std::vector<double>>(all.size())};
    timed.roofline_ns = roofline_ns(timed.step.problem, device).value_or(0);
    // One size for all setups: random numbers are valid weights in any layout.
    std::array<int64_t, 4> bytes{};
    for (const Setup& setup : all)
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::max(bytes[i], operand_bytes(setup.problem(timed.step))[i]);
    for (size_t i = 0; i < bytes.size(); ++i) {
      timed.operands[i] = Buffer(static_cast<size_t>(bytes[i]));
      fill_random(timed.step.problem.dtype, timed.operands[i].data(),
                  timed.operands[i].bytes() / size_of(timed.step.problem.dtype), seed + i);
    }
    for (const Setup& setup : all) {
      METALLIC_TRY(timed.plans.emplace_back(), setup.context->plan(setup.problem(timed.step)));
    }
    phase.steps.push_back(std::move(timed));
  }
  return phase;
}

// Runs the layer once with one setup, one operation after the other, as an engine does, so that each finds the caches as its
// predecessor left them. Checks the results, or stores the times.
Status pass(Phase& phase, const std::vector<Setup>& all, size_t setup, const Buffer& workspace, bool check, uint64_t seed) {
  Executor& executor = all[setup].context->executor();
  // Threads that libraries keep spinning after their last call must not disturb this setup.
  executor.rest();
  wait_until_idle();
  for (TimedStep& timed : phase.steps) {
    const Plan& plan = timed.plans[setup];
    const Args args{.in = {timed.operands[0].data(), timed.operands[1].data(), timed.operands[2].data()},
                    .out = timed.operands[kOut].data()};
    const auto begin = Clock::now();
    const Code code = plan.kernel->run(args, workspace.data(), executor);
    const double seconds = seconds_since(begin);
    const Problem& problem = plan.problem;
    const auto who = [&] { return to_string(*plan.choice.variant, *plan.choice.tuning); };
    if (code != Code::ok) return fail(code, "{} on {} failed: {}", who(), label(problem), metallic::name(code));
    if (!check) {
      timed.times[setup].push_back(seconds * 1e9);
      continue;
    }
    constexpr size_t kLooks = 16;
    if (const auto wrong = first_difference(problem, args, nullptr, kLooks, seed))
      return fail(Code::internal, "{} computes {} wrongly: {}", who(), label(problem), *wrong);
  }
  return {};
}

Status time_phase(Phase& phase, const std::vector<Setup>& all, double budget_s, uint64_t seed) {
  size_t most = 0;
  for (const TimedStep& timed : phase.steps)
    for (const Plan& plan : timed.plans) most = std::max(most, plan.kernel->workspace());
  const Buffer workspace(most);
  std::mt19937_64 random(seed);
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Progress progress(phase.name);
  for (const size_t setup : order) METALLIC_CHECK(pass(phase, all, setup, workspace, /*check=*/true, seed));
  constexpr size_t kLeastRounds = 5;
  const auto begin = Clock::now();
  for (size_t round = 0; round < kLeastRounds || seconds_since(begin) < budget_s; ++round) {
    progress.update(std::min(seconds_since(begin) / budget_s, 1.0), fmt::format("round {}", round + 1));
    std::ranges::shuffle(order, random);
    for (const size_t setup : order) METALLIC_CHECK(pass(phase, all, setup, workspace, /*check=*/false, seed));
  }
  return {};
}

double ns_in_model(const TimedStep& timed, double ns) { return ns * static_cast<double>(timed.step.runs); }

// ns of a pass through the whole model.
double whole_ns(const Phase& phase, size_t setup) {
  double sum = 0;
  for (const TimedStep& timed : phase.steps) sum += ns_in_model(timed, timed.median_ns(setup));
  return sum;
}

// ns of a layer; where layers differ, of an average one.
double layer_ns(const Phase& phase, size_t setup, const ModelConfig& model) {
  double sum = 0;
  for (const TimedStep& timed : phase.steps) sum += timed.step.of_layer ? ns_in_model(timed, timed.median_ns(setup)) : 0;
  return sum / static_cast<double>(model.layers);
}

void print(const Phase& phase, const std::vector<Setup>& all, const ModelConfig& model) {
  fmt::print("{}\n  {:<21} {:<44} {:>11}", phase.name, "operation", "problem", "roofline ms");
  for (const Setup& setup : all) fmt::print(" {:>15}", setup.name);
  fmt::print("   dispatcher runs\n");
  for (const TimedStep& timed : phase.steps) {
    fmt::print("  {:<21} {:<44} {:>11.3f}", timed.step.role, label(timed.step.problem), timed.roofline_ns / 1e6);
    for (size_t setup = 0; setup < all.size(); ++setup) fmt::print(" {:>15.3f}", timed.median_ns(setup) / 1e6);
    const Choice& choice = timed.plans[0].choice;
    fmt::print("   {}\n", to_string(*choice.variant, *choice.tuning));
  }
  double roofline = 0;
  for (const TimedStep& timed : phase.steps) roofline += timed.step.of_layer ? ns_in_model(timed, timed.roofline_ns) : 0;
  fmt::print("  {:<21} {:<44} {:>11.3f}", "layer", "", roofline / static_cast<double>(model.layers) / 1e6);
  for (size_t setup = 0; setup < all.size(); ++setup) fmt::print(" {:>15.3f}", layer_ns(phase, setup, model) / 1e6);
  fmt::print("\n  {:<21} {:<44} {:>11}", "tokens/s", fmt::format("{} layers and lm_head", model.layers), "");
  for (size_t setup = 0; setup < all.size(); ++setup) fmt::print(" {:>15.2f}", phase.tokens * 1e9 / whole_ns(phase, setup));
  fmt::print("\n  {:<21} {:<44} {:>11}", "ratio", "time relative to dispatcher", "");
  for (size_t setup = 0; setup < all.size(); ++setup) fmt::print(" {:>15.2f}", whole_ns(phase, setup) / whole_ns(phase, 0));
  fmt::print("\n");
}

Json json_of(const Phase& phase, const std::vector<Setup>& all) {
  auto steps = Json::array();
  for (const TimedStep& timed : phase.steps) {
    auto of_setups = Json::object();
    for (size_t setup = 0; setup < all.size(); ++setup) {
      const Choice& choice = timed.plans[setup].choice;
      of_setups[all[setup].name] = {{"kernel", to_string(*choice.variant, *choice.tuning)},
                                    {"median_ns", timed.median_ns(setup)},
                                    {"rounds", timed.times[setup].size()}};
    }
    steps.push_back({{"role", timed.step.role},
                     {"label", label(timed.step.problem)},
                     {"of_layer", timed.step.of_layer},
                     {"floor_ns", timed.roofline_ns},
                     {"ways", of_setups}});
  }
  auto tokens = Json::object();
  for (size_t setup = 0; setup < all.size(); ++setup) tokens[all[setup].name] = phase.tokens * 1e9 / whole_ns(phase, setup);
  return {{"phase", phase.name}, {"steps", steps}, {"tokens_per_s", tokens}};
}

}  // namespace

Result<Exit> bench_layer(const std::string& model_name, const std::string& dtype_name, const SampleOptions& sampling,
                         const LayerOptions& layer, bool as_json) {
  METALLIC_TRY(const ModelConfig model, find_model(model_name));
  print_left_out(model);
  const auto dtype = parse_dtype(dtype_name);
  if (!dtype) return fail(Code::invalid_argument, "--dtype {}: use {}", in_quotes(dtype_name), kDTypeNames);
  METALLIC_TRY(const auto all, setups(model_name, sampling.peers));
  const DeviceRecord device = record_device(*all.front().context, model.name, sampling.seed);
  auto phases = Json::array();
  for (const bool decode : {true, false}) {
    if (decode && !model.causal) continue;
    METALLIC_TRY(Phase phase,
                 decode ? make_phase(fmt::format("decode, 1 token after {}", layer.context - 1), 1,
                                     layer_steps(model, *dtype, 1, 1, layer.context), all, device, sampling.seed)
                        : make_phase(fmt::format("prefill, {} tokens", layer.prompt), static_cast<double>(layer.prompt),
                                     layer_steps(model, *dtype, 1, layer.prompt, layer.prompt), all, device, sampling.seed));
    METALLIC_CHECK(time_phase(phase, all, sampling.budget_s / 2, sampling.seed));
    if (as_json)
      phases.push_back(json_of(phase, all));
    else
      print(phase, all, model);
  }
  if (as_json)
    fmt::print("{}\n", Json{{"model", model.name}, {"dtype", dtype_name}, {"threads", device.threads}, {"phases", phases}}.dump(
                           2, ' ', false, Json::error_handler_t::replace));
  return Exit::done;
}

}  // namespace metallic::cli
