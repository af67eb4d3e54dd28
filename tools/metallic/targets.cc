// SPDX-License-Identifier: Apache-2.0
// Reads performance targets, computes their figures from a measurement, and prints them.
#include "tools/metallic/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "ops/label.h"
#include "ops/softmax/shape.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/pipeline.h"
#include "tools/metallic/tuning_run.h"
#include "tuner/bench/operands.h"
#include "tuner/bench/roofline.h"
#include "tuner/stats/block_effects.h"

namespace metallic::cli {
namespace {

enum class Against { peers, roofline, f32, full };

struct PerformanceTarget {
  std::string name, cache, source;
  ProblemOptions problems;
  Against against;
  double figure;
};

Result<std::vector<std::string>> texts(const JsonObject& object, const char* key) {
  METALLIC_TRY(const Json* list, object.array(key, 1000));
  std::vector<std::string> found;
  for (const Json& item : *list) {
    if (!item.is_string()) return fail(Code::invalid_argument, "{}.{}: expected strings", object.path(), key);
    found.push_back(item.get<std::string>());
  }
  return found;
}

Result<PerformanceTarget> parse_target(const JsonObject& object) {
  PerformanceTarget target;
  METALLIC_TRY(target.name, object.text("name"));
  METALLIC_TRY(target.cache, object.text("cache"));
  METALLIC_TRY(target.source, object.text("source"));
  METALLIC_TRY(target.problems.shapes, texts(object, "shapes"));
  METALLIC_TRY(target.problems.dtypes, texts(object, "dtypes"));
  METALLIC_TRY(target.figure, object.number("figure", 0, 1000));
  if (target.cache != name(Cache::warm) && target.cache != name(Cache::cold))
    return fail(Code::invalid_argument, "{}.cache: use warm or cold, got {}", object.path(), in_quotes(target.cache));
  METALLIC_TRY(const std::string against, object.text("against"));
  constexpr std::string_view kNames[] = {"peers", "floor", "f32", "full"};
  const auto found = std::ranges::find(kNames, against);
  if (found == std::end(kNames))
    return fail(Code::invalid_argument, "{}.against: use peers, floor, f32 or full, got {}", object.path(), in_quotes(against));
  target.against = static_cast<Against>(found - kNames);
  return target;
}

Result<std::vector<PerformanceTarget>> read_targets(const std::string& file, const std::string& only) {
  METALLIC_TRY(const std::string text, read_file(file, 1 << 20));
  METALLIC_TRY(const Json parsed, parse_json(text, file, 1 << 20));
  const JsonObject whole(parsed, file + ":");
  METALLIC_CHECK(whole.integer("schema", 1, 1));
  METALLIC_TRY(const Json* list, whole.array("aims", 1000));
  std::vector<PerformanceTarget> targets;
  for (size_t i = 0; i < list->size(); ++i) {
    METALLIC_TRY(PerformanceTarget target, parse_target(JsonObject((*list)[i], fmt::format("{}: aims[{}]", file, i))));
    if (target.name.find(only) != std::string::npos) targets.push_back(std::move(target));
  }
  if (targets.empty()) return fail(Code::invalid_argument, "{}: no target has a name with {}", file, in_quotes(only));
  return targets;
}

Problem full(Problem causal) {
  auto& shape = causal.as<SoftmaxShape>();
  shape.causal = false;
  shape.offset = 0;
  return causal;
}

// The problems of a target, including those that it compares with.
Result<std::vector<WeightedProblem>> problems_of(const PerformanceTarget& target) {
  METALLIC_TRY(auto found, problems(target.problems));
  if (target.against != Against::full) return found;
  for (size_t i = 0, own = found.size(); i < own; ++i) {
    const Problem& problem = found[i].problem;
    if (problem.op() != kSoftmax || !problem.as<SoftmaxShape>().causal)
      return fail(Code::invalid_argument, "target {}: {} is not a causal softmax", in_quotes(target.name), label(problem));
    found.push_back({.problem = full(problem)});
  }
  return found;
}

struct BestTimes {
  const Problem* problem;
  std::string own, peer;  // the fastest of our kernels and of the libraries
  double own_ns = INFINITY, peer_ns = INFINITY;
};

BestTimes best_of(const tune::Series& series) {
  BestTimes timed{.problem = &series.problem, .own = {}, .peer = {}};
  const tune::BlockEffects effects = tune::fit_block_effects(series);
  for (size_t arm = 0; arm < series.candidates.size(); ++arm) {
    const tune::KernelConfig& choice = series.candidates[arm].config;
    const double ns = std::exp(effects.median[arm]);
    const bool library = is_library(choice, series.problem.op());
    double& least = library ? timed.peer_ns : timed.own_ns;
    if (ns < least) least = ns, (library ? timed.peer : timed.own) = to_string(choice);
  }
  return timed;
}

struct Figure {
  BestTimes timed;
  double value;
};

// The figures of the problems; leaves out problems without one, e.g. because no library can run them.
std::vector<Figure> figures(const PerformanceTarget& target, const std::vector<BestTimes>& all, const DeviceRecord& device) {
  const auto other = [&](Problem wanted) -> const BestTimes* {
    const auto found = std::ranges::find_if(all, [&](const BestTimes& t) { return *t.problem == wanted; });
    return found == all.end() ? nullptr : &*found;
  };
  std::vector<Figure> found;
  for (const BestTimes& timed : all) {
    const Problem& problem = *timed.problem;
    switch (target.against) {
      case Against::peers:
        if (std::isfinite(timed.peer_ns)) found.push_back({timed, timed.peer_ns / timed.own_ns});
        break;
      case Against::roofline:
        if (const auto roofline = roofline_ns(problem, device)) found.push_back({timed, *roofline / timed.own_ns});
        break;
      case Against::f32:
        if (problem.dtype == DType::f32) break;
        if (const BestTimes* f32 = other(with_dtype(problem, DType::f32))) found.push_back({timed, f32->own_ns / timed.own_ns});
        break;
      case Against::full:
        if (!problem.as<SoftmaxShape>().causal) break;
        if (const BestTimes* whole = other(full(problem))) found.push_back({timed, timed.own_ns / whole->own_ns});
        break;
    }
  }
  return found;
}

double total(const PerformanceTarget& target, const std::vector<Figure>& each) {
  double worst = 0, logs = 0;
  for (const Figure& figure : each) worst = std::max(worst, figure.value), logs += std::log(figure.value);
  return target.against == Against::full ? worst : std::exp(logs / static_cast<double>(each.size()));
}

bool met(const PerformanceTarget& target, double value) {
  return target.against == Against::full ? value <= target.figure : value >= target.figure;
}

std::string_view unit(Against against) {
  switch (against) {
    case Against::peers: return "times as fast as the best library, geometric mean";
    case Against::roofline: return "of the roofline, geometric mean";
    case Against::f32: return "times as fast as f32, geometric mean";
    case Against::full: return "of the time of the full problem, worst";
  }
  return "";
}

void print(const PerformanceTarget& target, const std::vector<Figure>& each) {
  fmt::print("{} ({}; {})\n", target.name, target.cache, target.source);
  for (const Figure& figure : each) {
    const BestTimes& t = figure.timed;
    fmt::print(
        "  {:<40} {:<4} {:>10.2f} µs {:<22} {}  {:>6.2f}\n", label(*t.problem), name(t.problem->dtype), t.own_ns / 1e3, t.own,
        std::isfinite(t.peer_ns) ? fmt::format("{:>10.2f} µs {:<14}", t.peer_ns / 1e3, t.peer) : fmt::format("{:>28}", "–"),
        figure.value);
  }
  if (each.empty())
    return fmt::print("  nothing to compare with: {}\n\n", target.against == Against::peers ? "no library" : "no roofline");
  const double value = total(target, each);
  fmt::print("  {}: {:.2f} {}; target: {} {}\n\n", met(target, value) ? "met" : "MISSED", value, unit(target.against),
             target.against == Against::full ? "at most" : "at least", target.figure);
}

// Others use a share of the memory bandwidth that changes within minutes: the roofline is measured before and after the samples.
Roofline middle(const Roofline& before, const Roofline& after) {
  const auto mean = [](double a, double b) { return std::sqrt(a * b); };
  return {.read_bytes_per_s = mean(before.read_bytes_per_s, after.read_bytes_per_s),
          .copy_bytes_per_s = mean(before.copy_bytes_per_s, after.copy_bytes_per_s),
          .flops_per_s = mean(before.flops_per_s, after.flops_per_s)};
}

void print(const Roofline& roofline) {
  fmt::print("roofline: read {:.1f} GB/s, copy {:.1f} GB/s, {:.0f} GFLOP/s\n", roofline.read_bytes_per_s / 1e9,
             roofline.copy_bytes_per_s / 1e9, roofline.flops_per_s / 1e9);
}

Json json_of(const PerformanceTarget& target, const std::vector<Figure>& each) {
  auto problems = Json::array();
  for (const Figure& figure : each) {
    const BestTimes& t = figure.timed;
    problems.push_back({{"label", label(*t.problem)},
                        {"dtype", name(t.problem->dtype)},
                        {"own", t.own},
                        {"own_ns", t.own_ns},
                        {"peer", t.peer.empty() ? Json(nullptr) : Json(t.peer)},
                        {"peer_ns", std::isfinite(t.peer_ns) ? Json(t.peer_ns) : Json(nullptr)},
                        {"figure", figure.value}});
  }
  const bool known = !each.empty();
  return {{"name", target.name},
          {"cache", target.cache},
          {"unit", unit(target.against)},
          {"asked", target.figure},
          {"figure", known ? Json(total(target, each)) : Json(nullptr)},
          {"met", known ? Json(met(target, total(target, each))) : Json(nullptr)},
          {"problems", problems}};
}

}  // namespace

Result<Exit> bench_targets(const std::string& file, const std::string& only, SampleOptions sampling, bool as_json) {
  METALLIC_TRY(const std::vector<PerformanceTarget> targets, read_targets(file, only));
  METALLIC_TRY(const auto ctx, context("", "", /*libraries=*/true));
  sampling.peers = true;
  std::vector<std::vector<WeightedProblem>> wanted;
  size_t count = 0;
  for (const PerformanceTarget& target : targets) {
    METALLIC_TRY(wanted.emplace_back(), problems_of(target));
    count += wanted.back().size();
  }
  DeviceRecord device = record_device(*ctx, "", sampling.seed);
  if (!as_json) fmt::print("{}, {} threads\n\n", device.device.model, device.threads);
  size_t reached = 0, missed = 0;  // neither, if there is nothing to compare with
  auto all = Json::array();
  for (size_t i = 0; i < targets.size(); ++i) {
    SampleOptions target_sampling = sampling;
    target_sampling.budget_s = sampling.budget_s * static_cast<double>(wanted[i].size()) / static_cast<double>(count);
    target_sampling.caches = {targets[i].cache};
    const bool against_roofline = targets[i].against == Against::roofline;
    const Roofline before = against_roofline ? measure_roofline(ctx->device(), ctx->executor()) : Roofline{};
    METALLIC_TRY(const TuningRun sampled, run_tuning(wanted[i], *ctx, target_sampling, {.adaptive = false}));
    print_noise(sampled);
    if (sampled.interrupted) return Exit::interrupted;
    METALLIC_TRY(const auto measured, tune::from_samples(sampled.rows, "samples", ctx->threads()));
    if (against_roofline) {
      device.roofline = middle(before, measure_roofline(ctx->device(), ctx->executor()));
      if (!as_json) print(device.roofline);
    }
    std::vector<BestTimes> timed;
    for (const tune::Series& series : measured.series) timed.push_back(best_of(series));
    const std::vector<Figure> each = figures(targets[i], timed, device);
    if (!each.empty()) ++(met(targets[i], total(targets[i], each)) ? reached : missed);
    if (as_json)
      all.push_back(json_of(targets[i], each));
    else
      print(targets[i], each);
    std::fflush(stdout);  // shows results while the next target is measured
  }
  if (as_json)
    fmt::print("{}\n",
               Json{{"device", fingerprint(device.device)}, {"aims", all}}.dump(2, ' ', false, Json::error_handler_t::replace));
  else
    fmt::print("{} of {} targets met\n", reached, targets.size());
  return missed == 0 ? Exit::done : Exit::check_failed;
}

}  // namespace metallic::cli
