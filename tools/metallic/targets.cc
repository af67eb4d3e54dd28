#include "tools/metallic/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/metallic/tuning_run.h"
#include "tools/metallic/inputs.h"
#include "tools/metallic/pipeline.h"
#include "ops/label.h"
#include "base/file.h"
#include "tuner/bench/roofline.h"
#include "tuner/bench/operands.h"
#include "tuner/stats/block_effects.h"

namespace metallic::cli {
namespace {

enum class Against { peers, floor, f32, full };

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
    if (!item.is_string()) return fail(Code::invalid_argument, "{}.{}: names in quotes are expected", object.path(), key);
    found.push_back(item.get<std::string>());
  }
  return found;
}

Result<PerformanceTarget> parse_target(const JsonObject& object) {
  PerformanceTarget aim;
  METALLIC_TRY(aim.name, object.text("name"));
  METALLIC_TRY(aim.cache, object.text("cache"));
  METALLIC_TRY(aim.source, object.text("source"));
  METALLIC_TRY(aim.problems.shapes, texts(object, "shapes"));
  METALLIC_TRY(aim.problems.dtypes, texts(object, "dtypes"));
  METALLIC_TRY(aim.figure, object.number("figure", 0, 1000));
  if (aim.cache != name(Cache::warm) && aim.cache != name(Cache::cold))
    return fail(Code::invalid_argument, "{}.cache: use warm or cold, got {}", object.path(), in_quotes(aim.cache));
  METALLIC_TRY(const std::string against, object.text("against"));
  constexpr std::string_view kNames[] = {"peers", "floor", "f32", "full"};
  const auto found = std::ranges::find(kNames, against);
  if (found == std::end(kNames))
    return fail(Code::invalid_argument, "{}.against: use peers, floor, f32 or full, got {}", object.path(), in_quotes(against));
  aim.against = static_cast<Against>(found - kNames);
  return aim;
}

Result<std::vector<PerformanceTarget>> read_targets(const std::string& file, const std::string& only) {
  METALLIC_TRY(const std::string text, read_file(file, 1 << 20));
  METALLIC_TRY(const Json parsed, parse_json(text, file, 1 << 20));
  const JsonObject whole(parsed, file + ":");
  METALLIC_CHECK(whole.integer("schema", 1, 1));
  METALLIC_TRY(const Json* list, whole.array("aims", 1000));
  std::vector<PerformanceTarget> aims;
  for (size_t i = 0; i < list->size(); ++i) {
    METALLIC_TRY(PerformanceTarget aim, parse_target(JsonObject((*list)[i], fmt::format("{}: aims[{}]", file, i))));
    if (aim.name.find(only) != std::string::npos) aims.push_back(std::move(aim));
  }
  if (aims.empty()) return fail(Code::invalid_argument, "{}: no aim's name contains {}", file, in_quotes(only));
  return aims;
}

Problem full(Problem causal) {
  auto& shape = std::get<SoftmaxShape>(causal.shape);
  shape.causal = false;
  shape.offset = 0;
  return causal;
}

// The problems of an aim, those that its figures are relative to included.
Result<std::vector<WeightedProblem>> problems_of(const PerformanceTarget& aim) {
  METALLIC_TRY(auto found, problems(aim.problems));
  if (aim.against != Against::full) return found;
  for (size_t i = 0, own = found.size(); i < own; ++i) {
    const Problem& problem = found[i].problem;
    if (problem.op() != Op::softmax || !problem.softmax().causal)
      return fail(Code::invalid_argument, "aim {}: {} is no causal softmax", in_quotes(aim.name), label(problem));
    found.push_back({.problem = full(problem)});
  }
  return found;
}

struct Timed {
  const Problem* problem;
  std::string own, peer;  // the best of either kind
  double own_ns = INFINITY, peer_ns = INFINITY;
};

Timed best_of(const tune::Series& series) {
  Timed timed{.problem = &series.problem, .own = {}, .peer = {}};
  const tune::Effects effects = tune::effects(series);
  for (size_t arm = 0; arm < series.arms.size(); ++arm) {
    const tune::Choice& choice = series.arms[arm].choice;
    const double ns = std::exp(effects.middle[arm]);
    const bool library = is_library(choice, series.problem.op());
    double& least = library ? timed.peer_ns : timed.own_ns;
    if (ns < least) least = ns, (library ? timed.peer : timed.own) = to_string(choice);
  }
  return timed;
}

struct Figure {
  Timed timed;
  double value;
};

// The figures of an aim's problems; those without one (no library can do it) are left out.
std::vector<Figure> figures(const PerformanceTarget& aim, const std::vector<Timed>& all, const DeviceRecord& device) {
  const auto other = [&](Problem wanted) -> const Timed* {
    const auto found = std::ranges::find_if(all, [&](const Timed& t) { return *t.problem == wanted; });
    return found == all.end() ? nullptr : &*found;
  };
  std::vector<Figure> found;
  for (const Timed& timed : all) {
    const Problem& problem = *timed.problem;
    switch (aim.against) {
      case Against::peers:
        if (std::isfinite(timed.peer_ns)) found.push_back({timed, timed.peer_ns / timed.own_ns});
        break;
      case Against::floor:
        if (const auto floor = roofline_ns(problem, device)) found.push_back({timed, *floor / timed.own_ns});
        break;
      case Against::f32:
        if (problem.dtype == DType::f32) break;
        if (const Timed* f32 = other(with_dtype(problem, DType::f32))) found.push_back({timed, f32->own_ns / timed.own_ns});
        break;
      case Against::full:
        if (!problem.softmax().causal) break;
        if (const Timed* whole = other(full(problem))) found.push_back({timed, timed.own_ns / whole->own_ns});
        break;
    }
  }
  return found;
}

double total(const PerformanceTarget& aim, const std::vector<Figure>& each) {
  double worst = 0, logs = 0;
  for (const Figure& figure : each) worst = std::max(worst, figure.value), logs += std::log(figure.value);
  return aim.against == Against::full ? worst : std::exp(logs / static_cast<double>(each.size()));
}

bool met(const PerformanceTarget& aim, double value) { return aim.against == Against::full ? value <= aim.figure : value >= aim.figure; }

std::string_view unit(Against against) {
  switch (against) {
    case Against::peers: return "times as fast as the best library, geometric mean";
    case Against::floor: return "of the floor, geometric mean";
    case Against::f32: return "times as fast as f32, geometric mean";
    case Against::full: return "of the full one's time, worst";
  }
  return "";
}

void print(const PerformanceTarget& aim, const std::vector<Figure>& each) {
  fmt::print("{} ({}; {})\n", aim.name, aim.cache, aim.source);
  for (const Figure& figure : each) {
    const Timed& t = figure.timed;
    fmt::print(
        "  {:<40} {:<4} {:>10.2f} µs {:<22} {}  {:>6.2f}\n", label(*t.problem), name(t.problem->dtype), t.own_ns / 1e3, t.own,
        std::isfinite(t.peer_ns) ? fmt::format("{:>10.2f} µs {:<14}", t.peer_ns / 1e3, t.peer) : fmt::format("{:>28}", "–"),
        figure.value);
  }
  if (each.empty())
    return fmt::print("  nothing to compare with: {}\n\n", aim.against == Against::peers ? "no library" : "no floor");
  const double value = total(aim, each);
  fmt::print("  {}: {:.2f} {}; asked {} {}\n\n", met(aim, value) ? "met" : "MISSED", value, unit(aim.against),
             aim.against == Against::full ? "at most" : "at least", aim.figure);
}

// Of shared memory others take a share that changes within minutes: a floor is that of the minute, by ceilings before and after.
Roofline middle(const Roofline& before, const Roofline& after) {
  const auto mean = [](double a, double b) { return std::sqrt(a * b); };
  return {.read_bytes_per_s = mean(before.read_bytes_per_s, after.read_bytes_per_s),
          .copy_bytes_per_s = mean(before.copy_bytes_per_s, after.copy_bytes_per_s),
          .flops_per_s = mean(before.flops_per_s, after.flops_per_s)};
}

void print(const Roofline& ceilings) {
  fmt::print("meanwhile: read {:.1f} GB/s, copy {:.1f} GB/s, {:.0f} GFLOP/s\n", ceilings.read_bytes_per_s / 1e9,
             ceilings.copy_bytes_per_s / 1e9, ceilings.flops_per_s / 1e9);
}

Json json_of(const PerformanceTarget& aim, const std::vector<Figure>& each) {
  auto problems = Json::array();
  for (const Figure& figure : each) {
    const Timed& t = figure.timed;
    problems.push_back({{"label", label(*t.problem)},
                        {"dtype", name(t.problem->dtype)},
                        {"own", t.own},
                        {"own_ns", t.own_ns},
                        {"peer", t.peer.empty() ? Json(nullptr) : Json(t.peer)},
                        {"peer_ns", std::isfinite(t.peer_ns) ? Json(t.peer_ns) : Json(nullptr)},
                        {"figure", figure.value}});
  }
  const bool known = !each.empty();
  return {{"name", aim.name},
          {"cache", aim.cache},
          {"unit", unit(aim.against)},
          {"asked", aim.figure},
          {"figure", known ? Json(total(aim, each)) : Json(nullptr)},
          {"met", known ? Json(met(aim, total(aim, each))) : Json(nullptr)},
          {"problems", problems}};
}

}  // namespace

Result<Exit> bench_targets(const std::string& file, const std::string& only, SampleOptions sampling, bool as_json) {
  METALLIC_TRY(const std::vector<PerformanceTarget> aims, read_targets(file, only));
  METALLIC_TRY(const auto ctx, context("", "", /*libraries=*/true));
  sampling.peers = true;
  std::vector<std::vector<WeightedProblem>> wanted;
  size_t count = 0;
  for (const PerformanceTarget& aim : aims) {
    METALLIC_TRY(wanted.emplace_back(), problems_of(aim));
    count += wanted.back().size();
  }
  DeviceRecord device = record_device(*ctx, "", sampling.seed);
  if (!as_json) fmt::print("{}, {} threads\n\n", device.facts.model, device.threads);
  size_t reached = 0, missed = 0;  // what cannot be compared is neither
  auto all = Json::array();
  for (size_t i = 0; i < aims.size(); ++i) {
    SampleOptions of_aim = sampling;
    of_aim.budget_s = sampling.budget_s * static_cast<double>(wanted[i].size()) / static_cast<double>(count);
    of_aim.caches = {aims[i].cache};
    const bool of_floor = aims[i].against == Against::floor;
    const Roofline before = of_floor ? measure_roofline(ctx->facts(), ctx->executor()) : Roofline{};
    METALLIC_TRY(const TuningRun sampled, run_tuning(wanted[i], *ctx, of_aim, {.adaptive = false}));
    print_noise(sampled);
    if (sampled.interrupted) return Exit::interrupted;
    METALLIC_TRY(const auto measured, tune::from_samples(sampled.rows, "samples", ctx->threads()));
    if (of_floor) {
      device.roofline = middle(before, measure_roofline(ctx->facts(), ctx->executor()));
      if (!as_json) print(device.roofline);
    }
    std::vector<Timed> timed;
    for (const tune::Series& series : measured.series) timed.push_back(best_of(series));
    const std::vector<Figure> each = figures(aims[i], timed, device);
    if (!each.empty()) ++(met(aims[i], total(aims[i], each)) ? reached : missed);
    if (as_json)
      all.push_back(json_of(aims[i], each));
    else
      print(aims[i], each);
    std::fflush(stdout);  // whoever waits for minutes wants to read
  }
  if (as_json)
    fmt::print("{}\n",
               Json{{"device", fingerprint(device.facts)}, {"aims", all}}.dump(2, ' ', false, Json::error_handler_t::replace));
  else
    fmt::print("{} of {} aims met\n", reached, aims.size());
  return missed == 0 ? Exit::done : Exit::check_failed;
}

}  // namespace metallic::cli
