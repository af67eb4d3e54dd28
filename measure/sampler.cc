#include "measure/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "core/build.h"
#include "core/label.h"
#include "core/variant.h"
#include "kernels/oracle.h"
#include "kernels/variants.h"
#include "measure/buffer.h"

namespace metallic {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Arm {
  const Variant* variant;
  Tuning tuning;
  std::unique_ptr<const Kernel> kernel;
  double seconds = 0;  // of one call, the least seen
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
      if (arm.live) sum += arm.seconds + std::max(arm_s, arm.seconds);
    return sum;
  }
};

// Operands of all problems: large buffers that every unit uses from the start when warm, and at a moving place when cold.
class Operands {
 public:
  Operands(std::span<const Unit> units, const DeviceFacts& facts, uint64_t seed) {
    size_t in = 0, other = 0, out = 0, scratch = 0;
    const auto cold_bytes = static_cast<size_t>(2 * facts.llc_bytes);
    for (const Unit& unit : units) {
      const auto bytes = operand_bytes(unit.problem);
      const auto [streamed, second, result] = roles(unit.problem, bytes);
      in = std::max(in, unit.cache == Cache::cold ? std::max(streamed, cold_bytes + streamed) : streamed);
      other = std::max(other, second);
      // A cold softmax writes to memory that is not in cache either.
      const bool rotates = unit.cache == Cache::cold && unit.problem.op() == Op::softmax;
      out = std::max(out, rotates ? cold_bytes + result : result);
      for (const Arm& arm : unit.arms) scratch = std::max(scratch, arm.kernel->workspace());
    }
    streamed_ = Buffer(in / sizeof(float));
    second_ = Buffer(other / sizeof(float));
    out_ = Buffer(out / sizeof(float));
    workspace_ = Buffer(scratch / sizeof(float) + 16);
    cold_floats_ = cold_bytes / sizeof(float);
    fill_random(streamed_.data(), streamed_.size(), seed);
    fill_random(second_.data(), second_.size(), seed + 1);
    std::fill_n(out_.data(), out_.size(), 0.0f);  // its pages are there before any timing
  }

  // Poisons an output, so that what a wrong or lazy kernel leaves behind shows; where the kernel reads it (beta ≠ 0) it
  // gets random numbers, which are returned.
  static std::vector<float> prepare_output(const Unit& unit, const Args& args, uint64_t seed) {
    auto* out = static_cast<float*>(args.out);
    const size_t count = static_cast<size_t>(operand_bytes(unit.problem)[2]) / sizeof(float);
    if (unit.problem.op() == Op::softmax || unit.problem.matmul().beta == 0) {
      std::fill_n(out, count, std::numeric_limits<float>::quiet_NaN());
      return {};
    }
    fill_random(out, count, seed);
    return {out, out + count};
  }

  // The operands of the next call. Cold ones move on by the operand's size, rounded up to a page so that rows keep their
  // alignment.
  Args next(const Unit& unit) {
    const auto bytes = operand_bytes(unit.problem);
    const auto [streamed, second, result] = roles(unit.problem, bytes);
    size_t place = 0;
    if (unit.cache == Cache::cold) {
      const size_t step = (std::max(streamed, result) / sizeof(float) + 1023) / 1024 * 1024;
      if (place_ >= cold_floats_) place_ = 0;
      place = std::min(place_, streamed_.size() - streamed / sizeof(float));
      place_ += step;
    }
    float* moving = streamed_.data() + place;
    if (unit.problem.op() == Op::softmax) {
      const size_t out_place = std::min(place, out_.size() - result / sizeof(float));
      return {.in = {moving}, .out = out_.data() + out_place};
    }
    return unit.problem.matmul().weights_in_a() ? Args{.in = {moving, second_.data()}, .out = out_.data()}
                                                : Args{.in = {second_.data(), moving}, .out = out_.data()};
  }

  std::byte* workspace() const { return reinterpret_cast<std::byte*>(workspace_.data()); }

  // Bytes of the operand that is streamed (softmax: its input, matmul: its weights), of the other one, and of the result.
  static std::array<size_t, 3> roles(const Problem& problem, const std::array<int64_t, 3>& bytes) {
    const bool swapped = problem.op() == Op::matmul && !problem.matmul().weights_in_a();
    return {static_cast<size_t>(bytes[swapped ? 1 : 0]), static_cast<size_t>(bytes[swapped ? 0 : 1]),
            static_cast<size_t>(bytes[2])};
  }

 private:
  Buffer streamed_, second_, out_, workspace_;
  size_t cold_floats_ = 0;
  size_t place_ = 0;
};

Result<std::vector<Unit>> make_units(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                     Planner& planner, const SamplerOptions& options) {
  std::vector<Unit> units;
  for (const WeightedProblem& source : problems) {
    Problem problem = source.problem;
    problem.threads = executor.threads();
    const auto bytes = operand_bytes(problem);
    const double needed = static_cast<double>(bytes[0]) + static_cast<double>(bytes[1]) + static_cast<double>(bytes[2]);
    if (facts.memory_bytes > 0 && needed > 0.7 * static_cast<double>(facts.memory_bytes))
      return fail(Code::out_of_memory, "{} needs {:.1f} GiB of operands and this machine has {:.1f} GiB: use a smaller shape",
                  label(problem), needed / (1 << 30), static_cast<double>(facts.memory_bytes) / (1 << 30));
    const auto& caches = problem.op() == Op::softmax ? options.softmax_caches : options.matmul_caches;
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

// One checked call of every candidate: its result is right, and its time is a first estimate.
Status check(Unit& unit, Operands& operands, Executor& executor, uint64_t seed) {
  // A sampled element of a matmul costs K, a softmax row seq_k: some 10⁶ operations a check.
  const double each = unit.problem.op() == Op::softmax ? static_cast<double>(unit.problem.softmax().seq_k)
                                                       : static_cast<double>(unit.problem.matmul().k);
  const auto looks = static_cast<size_t>(std::clamp(1e5 / std::max(each, 1.0), 4.0, 256.0));
  for (Arm& arm : unit.arms) {
    const Args args = operands.next(unit);
    const std::vector<float> before = Operands::prepare_output(unit, args, seed + 2);
    const auto begin = Clock::now();
    if (const Code code = arm.kernel->run(args, operands.workspace(), executor); code != Code::ok)
      return fail(code, "{} on {} failed: {}", to_string(*arm.variant, arm.tuning), label(unit.problem), name(code));
    arm.seconds = std::max(seconds_since(begin), 1e-9);
    if (const auto wrong = first_difference(unit.problem, args, before.data(), looks, seed))
      return fail(Code::internal, "{} computes {} wrongly: {}", to_string(*arm.variant, arm.tuning), label(unit.problem), *wrong);
  }
  return {};
}

class Timer {
 public:
  Timer(Operands& operands, Executor& executor, double arm_s) : operands_(operands), executor_(executor), arm_s_(arm_s) {}

  // Seconds of one call, the mean over as many as fill the arm's time; the first call is not counted.
  std::pair<double, int64_t> time(const Unit& unit, const Arm& arm) {
    arm.kernel->run(operands_.next(unit), operands_.workspace(), executor_);
    const auto iterations = static_cast<int64_t>(std::clamp(std::ceil(arm_s_ / arm.seconds), 1.0, 1e6));
    const auto begin = Clock::now();
    for (int64_t i = 0; i < iterations; ++i) arm.kernel->run(operands_.next(unit), operands_.workspace(), executor_);
    return {seconds_since(begin) / static_cast<double>(iterations), iterations};
  }

 private:
  Operands& operands_;
  Executor& executor_;
  double arm_s_;
};

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

std::string_view name(Cache cache) { return cache == Cache::warm ? "warm" : "cold"; }

Result<std::vector<SampleRow>> sample(std::span<const WeightedProblem> problems, const DeviceFacts& facts, Executor& executor,
                                      Planner& planner, const SamplerOptions& options) {
  const auto begin = Clock::now();
  METALLIC_TRY(std::vector<Unit> units, make_units(problems, facts, executor, planner, options));
  Operands operands(units, facts, options.seed);
  const auto report = [&](const Unit& unit) {
    return options.progress(std::min(1.0, seconds_since(begin) / options.budget_s),
                            fmt::format("{} {}", label(unit.problem), name(unit.cache)));
  };
  for (Unit& unit : units) {
    if (!report(unit)) return std::vector<SampleRow>();
    METALLIC_CHECK(check(unit, operands, executor, options.seed));
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
        const auto [seconds, iterations] = timer.time(unit, *order[place]);
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
