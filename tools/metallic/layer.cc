#include "tools/metallic/layer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>

#include "tools/metallic/inputs.h"
#include "tools/metallic/progress.h"
#include "ops/label.h"
#include "tuner/verify/oracle.h"
#include "ops/registry.h"
#include "tuner/bench/buffer.h"
#include "tuner/bench/idle.h"
#include "tuner/bench/timer.h"
#include "tuner/workloads/layer.h"
#include "tuner/stats/statistics.h"

namespace metallic::cli {
namespace {

// A way to choose kernels: the dispatcher's, with weights as they are or packed once, the guide's, one library for all that it
// can.
struct Way {
  std::string name;
  std::shared_ptr<Context> context;
  bool packed = false;

  Problem problem(const LayerStep& step) const {
    Problem made = step.problem;
    if (auto* const matmul = std::get_if<MatmulShape>(&made.shape); matmul && packed) make_packed(*matmul);
    return made;
  }
};

struct TimedStep {
  LayerStep step;
  std::array<Buffer, 4> operands;
  double roofline_ns = 0;
  std::vector<Plan> plans;                 // by way
  std::vector<std::vector<double>> times;  // by way, ns
  double median_ns(size_t way) const { return tune::median(times[way]); }
};

struct Phase {
  std::string name;
  double tokens;  // that one pass makes or reads
  std::vector<TimedStep> steps;
};

// A context that the variables given here choose in, and the process' for all else; quiet about what it passes over, since a
// library is asked for things that it cannot do.
Result<Way> forced(std::string name, std::map<std::string, std::string, std::less<>> variables, bool libraries,
                   Executor& executor) {
  variables["METALLIC_PROFILE"] = "none";
  variables["METALLIC_SDPA_VARIANT"] = "cpu_materialized";  // attention of softmax and matmul, as theirs is
  ContextOptions options{
      .executor = &executor,
      .libraries = libraries,
      .environment = [variables, process = process_environment()](std::string_view variable) -> std::optional<std::string> {
        const auto found = variables.find(variable);
        return found == variables.end() ? process(variable) : std::optional(found->second);
      },
      .log = [](std::string_view, std::string_view) {}};
  METALLIC_TRY(auto context, Context::create(std::move(options)));
  return Way{std::move(name), std::move(context)};
}

Result<std::vector<Way>> ways(const std::string& model, bool peers) {
  std::vector<Way> found;
  METALLIC_TRY(const std::shared_ptr<Context> own, context(model, "", peers));
  Executor& executor = own->executor();
  const std::vector<Library> libraries = own->facts().libraries;
  found.push_back({"dispatcher", own});
  found.push_back({"packed weights", own, /*packed=*/true});
  METALLIC_TRY(found.emplace_back(), forced("fixed defaults", {}, false, executor));
  for (const Library& library : libraries) {
    std::map<std::string, std::string, std::less<>> variables = {{"METALLIC_MATMUL_BACKEND", "cpu_" + library.name}};
    if (find_variant(Op::softmax, "cpu_" + library.name)) variables["METALLIC_SOFTMAX_VARIANT"] = "cpu_" + library.name;
    METALLIC_TRY(found.emplace_back(), forced(library.name, std::move(variables), true, executor));
  }
  return found;
}

Result<Phase> make_phase(std::string name, double tokens, std::vector<LayerStep> steps, const std::vector<Way>& all,
                         const DeviceRecord& device, uint64_t seed) {
  Phase phase{std::move(name), tokens, {}};
  double total = 0;
  for (const LayerStep& step : steps)
    for (const int64_t bytes : operand_bytes(step.problem)) total += static_cast<double>(bytes);
  const auto memory = static_cast<double>(device.facts.memory_bytes);
  if (memory > 0 && total > 0.8 * memory)
    return fail(Code::out_of_memory, "a layer and the output weights need {:.1f} GiB and this machine has {:.1f} GiB",
                total / (1 << 30), memory / (1 << 30));
  for (LayerStep& step : steps) {
    step.problem.threads = device.threads;
    TimedStep timed{.step = std::move(step), .operands = {}, .plans = {}, .times = std::vector<std::vector<double>>(all.size())};
    timed.roofline_ns = roofline_ns(timed.step.problem, device).value_or(0);
    // Random numbers are weights whatever their order.
    std::array<int64_t, 4> bytes{};
    for (const Way& way : all)
      for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = std::max(bytes[i], operand_bytes(way.problem(timed.step))[i]);
    for (size_t i = 0; i < bytes.size(); ++i) {
      timed.operands[i] = Buffer(static_cast<size_t>(bytes[i]));
      fill_random(timed.step.problem.dtype, timed.operands[i].data(),
                  timed.operands[i].bytes() / size_of(timed.step.problem.dtype), seed + i);
    }
    for (const Way& way : all) {
      METALLIC_TRY(timed.plans.emplace_back(), way.context->plan(way.problem(timed.step)));
    }
    phase.steps.push_back(std::move(timed));
  }
  return phase;
}

// Runs the layer once in one way, operation after operation, so that each finds the caches as the one before left them. Checks
// results, or keeps times.
Status pass(Phase& phase, const std::vector<Way>& all, size_t way, const Buffer& workspace, bool check, uint64_t seed) {
  Executor& executor = all[way].context->executor();
  // What libraries' threads do behind their own last call is not this way's.
  executor.rest();
  wait_until_idle();
  for (TimedStep& timed : phase.steps) {
    const Plan& plan = timed.plans[way];
    const Args args{.in = {timed.operands[0].data(), timed.operands[1].data(), timed.operands[2].data()},
                    .out = timed.operands[kOut].data()};
    const auto begin = Clock::now();
    const Code code = plan.kernel->run(args, workspace.data(), executor);
    const double seconds = seconds_since(begin);
    const Problem& problem = plan.decision.problem;
    const auto who = [&] { return to_string(*plan.decision.variant, plan.decision.tuning); };
    if (code != Code::ok) return fail(code, "{} on {} failed: {}", who(), label(problem), metallic::name(code));
    if (!check) {
      timed.times[way].push_back(seconds * 1e9);
      continue;
    }
    constexpr size_t kLooks = 16;
    if (const auto wrong = first_difference(problem, args, nullptr, kLooks, seed))
      return fail(Code::internal, "{} computes {} wrongly: {}", who(), label(problem), *wrong);
  }
  return {};
}

Status time_phase(Phase& phase, const std::vector<Way>& all, double budget_s, uint64_t seed) {
  size_t most = 0;
  for (const TimedStep& timed : phase.steps)
    for (const Plan& plan : timed.plans) most = std::max(most, plan.kernel->workspace());
  const Buffer workspace(most);
  std::mt19937_64 random(seed);
  std::vector<size_t> order(all.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Progress progress(phase.name);
  for (const size_t way : order) METALLIC_CHECK(pass(phase, all, way, workspace, /*check=*/true, seed));
  constexpr size_t kLeastRounds = 5;
  const auto begin = Clock::now();
  for (size_t round = 0; round < kLeastRounds || seconds_since(begin) < budget_s; ++round) {
    progress.update(std::min(seconds_since(begin) / budget_s, 1.0), fmt::format("round {}", round + 1));
    std::ranges::shuffle(order, random);
    for (const size_t way : order) METALLIC_CHECK(pass(phase, all, way, workspace, /*check=*/false, seed));
  }
  return {};
}

// Nanoseconds of a pass through the whole model.
double whole_ns(const Phase& phase, size_t way, const ModelConfig& model) {
  double sum = 0;
  for (const TimedStep& timed : phase.steps)
    sum += timed.median_ns(way) * (timed.step.of_layer ? static_cast<double>(model.layers) : 1);
  return sum;
}

double layer_ns(const Phase& phase, size_t way) {
  double sum = 0;
  for (const TimedStep& timed : phase.steps) sum += timed.step.of_layer ? timed.median_ns(way) : 0;
  return sum;
}

void print(const Phase& phase, const std::vector<Way>& all, const ModelConfig& model) {
  fmt::print("{}\n  {:<10} {:<44} {:>9}", phase.name, "operation", "problem", "floor ms");
  for (const Way& way : all) fmt::print(" {:>15}", way.name);
  fmt::print("   dispatcher runs\n");
  for (const TimedStep& timed : phase.steps) {
    fmt::print("  {:<10} {:<44} {:>9.3f}", timed.step.role, label(timed.step.problem), timed.roofline_ns / 1e6);
    for (size_t way = 0; way < all.size(); ++way) fmt::print(" {:>15.3f}", timed.median_ns(way) / 1e6);
    const Decision& decision = timed.plans[0].decision;
    fmt::print("   {}\n", to_string(*decision.variant, decision.tuning));
  }
  double floor = 0;
  for (const TimedStep& timed : phase.steps) floor += timed.step.of_layer ? timed.roofline_ns : 0;
  fmt::print("  {:<10} {:<44} {:>9.3f}", "layer", "", floor / 1e6);
  for (size_t way = 0; way < all.size(); ++way) fmt::print(" {:>15.3f}", layer_ns(phase, way) / 1e6);
  fmt::print("\n  {:<10} {:<44} {:>9}", "tokens/s", fmt::format("{} layers and lm_head", model.layers), "");
  for (size_t way = 0; way < all.size(); ++way) fmt::print(" {:>15.2f}", phase.tokens * 1e9 / whole_ns(phase, way, model));
  fmt::print("\n  {:<10} {:<44} {:>9}", "ratio", "time over the dispatcher's", "");
  for (size_t way = 0; way < all.size(); ++way) fmt::print(" {:>15.2f}", whole_ns(phase, way, model) / whole_ns(phase, 0, model));
  fmt::print("\n");
}

Json json_of(const Phase& phase, const std::vector<Way>& all, const ModelConfig& model) {
  auto steps = Json::array();
  for (const TimedStep& timed : phase.steps) {
    auto of_ways = Json::object();
    for (size_t way = 0; way < all.size(); ++way) {
      const Decision& decision = timed.plans[way].decision;
      of_ways[all[way].name] = {{"kernel", to_string(*decision.variant, decision.tuning)},
                                {"median_ns", timed.median_ns(way)},
                                {"rounds", timed.times[way].size()}};
    }
    steps.push_back({{"role", timed.step.role},
                     {"label", label(timed.step.problem)},
                     {"of_layer", timed.step.of_layer},
                     {"floor_ns", timed.roofline_ns},
                     {"ways", of_ways}});
  }
  auto tokens = Json::object();
  for (size_t way = 0; way < all.size(); ++way) tokens[all[way].name] = phase.tokens * 1e9 / whole_ns(phase, way, model);
  return {{"phase", phase.name}, {"steps", steps}, {"tokens_per_s", tokens}};
}

}  // namespace

Result<Exit> bench_layer(const std::string& model_name, const std::string& dtype_name, const SampleOptions& sampling,
                         const LayerOptions& layer, bool as_json) {
  METALLIC_TRY(const ModelConfig model, find_model(model_name));
  const auto dtype = parse_dtype(dtype_name);
  if (!dtype) return fail(Code::invalid_argument, "--dtype {}: use {}", in_quotes(dtype_name), kDTypeNames);
  METALLIC_TRY(const auto all, ways(model_name, sampling.peers));
  const DeviceRecord device = record_device(*all.front().context, model.name, sampling.seed);
  auto phases = Json::array();
  for (const bool decode : {true, false}) {
    METALLIC_TRY(Phase phase,
                 decode ? make_phase(fmt::format("decode, 1 token after {}", layer.context - 1), 1,
                                     layer_steps(model, *dtype, 1, 1, layer.context), all, device, sampling.seed)
                        : make_phase(fmt::format("prefill, {} tokens", layer.prompt), static_cast<double>(layer.prompt),
                                     layer_steps(model, *dtype, 1, layer.prompt, layer.prompt), all, device, sampling.seed));
    METALLIC_CHECK(time_phase(phase, all, sampling.budget_s / 2, sampling.seed));
    if (as_json)
      phases.push_back(json_of(phase, all, model));
    else
      print(phase, all, model);
  }
  if (as_json)
    fmt::print("{}\n", Json{{"model", model.name}, {"dtype", dtype_name}, {"threads", device.threads}, {"phases", phases}}.dump(
                           2, ' ', false, Json::error_handler_t::replace));
  return Exit::done;
}

}  // namespace metallic::cli
