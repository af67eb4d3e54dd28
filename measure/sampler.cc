#include "measure/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <random>

#include "core/build.h"
#include "core/label.h"
#include "core/variant.h"
#include "kernels/variants.h"
#include "measure/quiet.h"
#include "measure/timer.h"

namespace metallic {
namespace {

struct Arm {
  const Variant* variant;
  Tuning tuning;
  std::unique_ptr<const Kernel> kernel;
  double seconds = 0;  // of one call, the least seen
  double pause = 0;    // before it, the last
  bool live = true;
};

// One problem in one cache state.
struct Unit {
  const WeightedProblem* source;
  Problem problem;
  Cache cache;
  double weight;
  std::vector<Arm> arms;
  int blocks = 0;

  double block_seconds(double arm_s) const {
    double sum = 0;
    for (const Arm& arm : arms)
      if (arm.live) sum += arm.pause + arm.seconds + std::max(arm_s, arm.seconds);
    return sum;
  }
};

Result<Operands> make_operands(std::span<const Unit> units, const DeviceFacts& facts, uint64_t seed) {
  std::vector<OperandUse> uses;
  for (const Unit& unit : units) {
    size_t workspace = 0;
    for (const Arm& arm : unit.arms) workspace = std::max(workspace, arm.kernel->workspace());
    uses.push_back({unit.problem, unit.cache, workspace});
  }
  return Operands::create(uses, facts, seed);
}

Result<std::vector<Unit>> make_units(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                     Planner& planner, const SamplerOptions& options) {
  std::vector<Unit> units;
  for (const WeightedProblem& source : problems) {
    Problem problem = source.problem;
    problem.threads = executor.threads();
    const auto bytes = operand_bytes(problem);
    double needed = 0;
    for (const int64_t operand : bytes) needed += static_cast<double>(operand);
    if (facts.memory_bytes > 0 && needed > 0.7 * static_cast<double>(facts.memory_bytes))
      return fail(Code::out_of_memory, "{} needs {:.1f} GiB of operands and this machine has {:.1f} GiB: use a smaller shape",
                  label(problem), needed / (1 << 30), static_cast<double>(facts.memory_bytes) / (1 << 30));
    const auto& caches = options.caches[static_cast<size_t>(problem.op())];
    for (const Cache cache : caches) {
      Unit unit{
          .source = &source, .problem = problem, .cache = cache, .weight = source.weight / static_cast<double>(caches.size())};
      for (const Variant& variant : variants(problem.op()))
        for (const Tuning& tuning : variant.tunings) {
          if (variant.backend() != facts.backend || !options.wanted(variant) || variant.rejects(problem, tuning, facts)) continue;
          METALLIC_TRY(auto kernel, variant.prepare(problem, tuning, facts, planner));
          unit.arms.push_back({.variant = &variant, .tuning = tuning, .kernel = std::move(kernel)});
        }
      if (!unit.arms.empty()) units.push_back(std::move(unit));
    }
  }
  if (units.empty()) return fail(Code::unsupported, "no candidate accepts any of the problems");
  return units;
}

// Whose threads ran last. A library's spin for more work after an arm (OpenBLAS's for 100 ms, oneDNN's for 12), and so do ours
// (70 ms): an arm on other threads than the one before waits until those sleep. Telling a library not to spin would make it
// another one: oneDNN becomes 15 times slower on small shapes.
class Turns {
 public:
  void begin(Arm& arm) {
    const std::string_view next = arm.variant->library();
    arm.pause = next == last_ ? 0 : wait_until_quiet();
    last_ = next;
  }

 private:
  std::string_view last_;  // empty: ours
};

// One checked call of every candidate: its result is right, and its time is a first estimate.
Status check(Unit& unit, Operands& operands, Executor& executor, Turns& turns, uint64_t seed) {
  for (Arm& arm : unit.arms) {
    turns.begin(arm);
    METALLIC_TRY(arm.seconds, checked_call(unit.problem, unit.cache, *arm.kernel, to_string(*arm.variant, arm.tuning), operands,
                                           executor, seed));
  }
  return {};
}

SampleRow row_of(const Unit& unit, const Arm& arm, const DeviceFacts& facts, uint64_t seed) {
  SampleRow row;
  row.benchmark = fmt::format("{}_{}", name(unit.problem.op()), name(unit.problem.dtype));
  row.variant = std::string(arm.variant->name);
  row.parameters = label(unit.problem);
  row.dtype = std::string(name(unit.problem.dtype));
  row.tuning = to_string(arm.tuning);
  row.target = facts.isa;
  row.threads = unit.problem.threads;
  row.cache = std::string(name(unit.cache));
  row.device = fingerprint(facts);
  row.build = std::string(build_name());
  row.op = std::string(name(unit.problem.op()));
  row.seed = static_cast<int64_t>(seed);
  row.weight = unit.weight;
  return row;
}

void drop_hopeless(Unit& unit, double hopeless) {
  if (unit.blocks < 2) return;
  double best = std::numeric_limits<double>::infinity();
  for (const Arm& arm : unit.arms) best = std::min(best, arm.seconds);
  for (Arm& arm : unit.arms) arm.live = arm.seconds <= best * hopeless;
}

}  // namespace

Result<std::vector<SampleRow>> sample(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                      Planner& planner, const SamplerOptions& options) {
  const auto begin = Clock::now();
  METALLIC_TRY(std::vector<Unit> units, make_units(problems, facts, executor, planner, options));
  METALLIC_TRY(Operands operands, make_operands(units, facts, options.seed));
  const auto report = [&](const Unit& unit) {
    return options.progress(std::min(1.0, seconds_since(begin) / options.budget_s),
                            fmt::format("{} {}", label(unit.problem), name(unit.cache)));
  };
  Turns turns;
  for (Unit& unit : units) {
    if (!report(unit)) return std::vector<SampleRow>();
    METALLIC_CHECK(check(unit, operands, executor, turns, options.seed));
  }

  std::vector<SampleRow> rows;
  std::mt19937_64 random(options.seed);
  Timer timer(operands, executor, options.arm_s);
  for (int round = 0; round < options.most_blocks; ++round) {
    bool timed = false;
    for (Unit& unit : units) {
      const bool fits = seconds_since(begin) + unit.block_seconds(options.arm_s) <= options.budget_s;
      if (!fits && unit.blocks >= options.least_blocks) continue;
      if (!report(unit)) return rows;
      std::vector<Arm*> order;
      for (Arm& arm : unit.arms)
        if (arm.live) order.push_back(&arm);
      std::shuffle(order.begin(), order.end(), random);
      for (size_t place = 0; place < order.size(); ++place) {
        turns.begin(*order[place]);
        const auto [seconds, iterations] = timer.time(unit.problem, unit.cache, *order[place]->kernel, order[place]->seconds);
        order[place]->seconds = std::min(order[place]->seconds, seconds);
        SampleRow row = row_of(unit, *order[place], facts, options.seed);
        row.block = unit.blocks;
        row.order = static_cast<int64_t>(place);
        row.iterations = iterations;
        row.time_ns = std::max(seconds * 1e9, 1e-3);
        rows.push_back(std::move(row));
      }
      ++unit.blocks;
      drop_hopeless(unit, options.hopeless);
      timed = true;
    }
    if (!timed) break;
  }
  return rows;
}

}  // namespace metallic
