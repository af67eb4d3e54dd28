#include "measure/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <random>

#include "core/build.h"
#include "core/label.h"
#include "core/variant.h"
#include "kernels/oracle.h"
#include "kernels/variants.h"
#include "measure/buffer.h"
#include "measure/quiet.h"

namespace metallic {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

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

// Operands of all problems: a large buffer for each of in[0], in[1], in[2] and out (inputs one for each type, since random bits
// of one are no numbers of another), used from its start when warm, and at a moving place when cold.
class Operands {
 public:
  static Result<Operands> create(std::span<const Unit> units, const DeviceFacts& facts, uint64_t seed) {
    Operands operands;
    operands.cold_bytes_ = static_cast<size_t>(2 * facts.llc_bytes);
    std::array<std::array<size_t, 4>, kDTypes.size()> sizes{};
    size_t scratch = 0, total = 0;
    for (const Unit& unit : units) {
      const auto bytes = operand_bytes(unit.problem);
      for (size_t i = 0; i < bytes.size(); ++i) {
        size_t& size = sizes[i == kOut ? 0 : static_cast<size_t>(unit.problem.dtype)][i];
        size = std::max(size, static_cast<size_t>(bytes[i]) + (moves(unit, i) ? operands.cold_bytes_ : 0));
      }
      for (const Arm& arm : unit.arms) scratch = std::max(scratch, arm.kernel->workspace());
    }
    for (const auto& of_type : sizes)
      for (const size_t size : of_type) total += size;
    total += scratch;
    if (facts.memory_bytes > 0 && static_cast<double>(total) > 0.8 * static_cast<double>(facts.memory_bytes))
      return fail(Code::out_of_memory,
                  "the problems need {:.1f} GiB of operands and this machine has {:.1f} GiB: use smaller shapes",
                  static_cast<double>(total) / (1 << 30), static_cast<double>(facts.memory_bytes) / (1 << 30));
    for (const DType dtype : kDTypes)
      for (size_t i = 0; i < 4; ++i) {
        Buffer& buffer = operands.buffers_[static_cast<size_t>(dtype)][i];
        buffer = Buffer(sizes[static_cast<size_t>(dtype)][i]);
        fill_random(dtype, buffer.data(), buffer.bytes() / size_of(dtype), seed + i);  // its pages are there before any timing
      }
    operands.workspace_ = Buffer(scratch);
    return operands;
  }

  // Poisons an output, so that what a wrong or lazy kernel leaves behind shows; where the kernel reads it (beta ≠ 0) it
  // gets random numbers, which are returned.
  static std::vector<std::byte> prepare_output(const Unit& unit, const Args& args, uint64_t seed) {
    const size_t bytes = static_cast<size_t>(operand_bytes(unit.problem)[kOut]);
    auto* out = static_cast<std::byte*>(args.out);
    if (unit.problem.op() != Op::matmul || unit.problem.matmul().beta == 0) {
      std::fill_n(out, bytes, std::byte{0xff});  // NaN in every type
      return {};
    }
    fill_random(unit.problem.out_dtype, out, bytes / size_of(unit.problem.out_dtype), seed);
    return {out, out + bytes};
  }

  // The operands of the next call. Cold ones move on by the largest operand's size, rounded up to a page so that rows keep
  // their alignment.
  Args next(const Unit& unit) {
    const auto bytes = operand_bytes(unit.problem);
    size_t step = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
      if (moves(unit, i)) step = std::max(step, (static_cast<size_t>(bytes[i]) + 4095) / 4096 * 4096);
    if (place_ >= cold_bytes_) place_ = 0;
    const auto at = [&](size_t i) {
      const Buffer& buffer = buffers_[i == kOut ? 0 : static_cast<size_t>(unit.problem.dtype)][i];
      return buffer.data() + (moves(unit, i) ? place_ : 0);
    };
    const Args args{.in = {at(0), at(1), at(2)}, .out = at(kOut)};
    place_ += step;
    return args;
  }

  std::byte* workspace() const { return workspace_.data(); }

 private:
  // What is cold: all of a softmax (input and output), the weights of a matmul, K and V of an sdpa.
  static bool moves(const Unit& unit, size_t operand) {
    if (unit.cache == Cache::warm) return false;
    switch (unit.problem.op()) {
      case Op::softmax: return true;
      case Op::matmul: return operand == (unit.problem.matmul().weights_in_a() ? 0 : 1);
      case Op::sdpa: return operand == 1 || operand == 2;
    }
    return false;
  }

  std::array<std::array<Buffer, 4>, kDTypes.size()> buffers_;
  Buffer workspace_;
  size_t cold_bytes_ = 0;
  size_t place_ = 0;
};

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

// How many results to check: an element of a matmul costs K, a softmax row seq_k, an sdpa row seq_k·head_dim; some 10⁶
// operations a check.
size_t affordable_looks(const Problem& problem) {
  const auto cost = [&]() -> int64_t {
    switch (problem.op()) {
      case Op::softmax: return problem.softmax().seq_k;
      case Op::matmul: return problem.matmul().k;
      case Op::sdpa: return problem.sdpa().seq_k * problem.sdpa().head_dim;
    }
    return 1;
  };
  return static_cast<size_t>(std::clamp(1e5 / std::max(static_cast<double>(cost()), 1.0), 4.0, 256.0));
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
  const size_t looks = affordable_looks(unit.problem);
  for (Arm& arm : unit.arms) {
    const Args args = operands.next(unit);
    const std::vector<std::byte> before = Operands::prepare_output(unit, args, seed + 2);
    turns.begin(arm);
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
  METALLIC_TRY(Operands operands, Operands::create(units, facts, options.seed));
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
