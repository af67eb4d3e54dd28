// SPDX-License-Identifier: Apache-2.0
#include "tuner/verify/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/cpu/isa.h"
#include "ops/element.h"
#include "ops/label.h"
#include "ops/mask.h"
#include "ops/operation.h"
#include "ops/registry.h"
#include "tuner/operation/operation.h"
#include "tuner/verify/cuda_run.h"

namespace metallic::validation {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// The rows of an operand in rising order.
std::vector<StoredRow> sorted_rows(const Problem& problem, size_t operand) {
  std::vector<StoredRow> rows = tuner_operation(problem.op()).stored_rows(problem, operand);
  std::ranges::sort(rows);
  return rows;
}

// Element j of row i of an operand, x uniform in [−1, 1).
double shaped(const TunerOperation& op, size_t operand, Values values, DType dtype, int64_t i, int64_t j, int64_t columns,
              double x) {
  const bool hit = operand == 0 && j == columns / 2 && (op.nan_in_each_row || i == 0);
  switch (values) {
    case Values::random: return x;
    case Values::wide: return op.wide(operand, x);
    case Values::denormal: return x * (dtype == DType::f16 ? 0x1p-20 : 0x1p-132);
    case Values::far: return 1000 + x;
    case Values::overflowing: return (x < 0 ? -1 : 1) * (dtype == DType::f16 ? 65504 : 3e38);
    case Values::some_minus_infinity: return x > 0.5 ? -kInfinity : x;
    case Values::all_minus_infinity: return -kInfinity;
    case Values::infinity: return hit ? kInfinity : x;
    case Values::nan: return hit ? kNaN : x;
    case Values::equal: return op.equal_value;
    case Values::integers: return std::round(8 * x);
  }
  return x;
}

void fill(const Case& what, size_t operand, Guarded& memory) {
  const TunerOperation& op = tuner_operation(what.problem.op());
  const DType dtype = operand == kOut ? what.problem.out_dtype : what.problem.dtype;
  const auto hidden = [&](int64_t row, int64_t j) { return op.hidden && op.hidden(what.problem, operand, row, j); };
  std::vector<float> random;
  int64_t i = 0;
  for (const StoredRow& row : sorted_rows(what.problem, operand)) {
    random.resize(static_cast<size_t>(row.count));
    fill_random(DType::f32, random.data(), random.size(), 1000 * (operand + 1) + static_cast<uint64_t>(i));
    for (int64_t j = 0; j < row.count; ++j) {
      const double x = random[static_cast<size_t>(j)];
      set_element(dtype, memory.data(), row.at + j,
                  hidden(row.row, j) ? kNaN : shaped(op, operand, what.values, dtype, i, j, row.count, x));
    }
    ++i;
  }
  if (op.fill_padding) op.fill_padding(what.problem, operand, memory.data());
}

// NaN where the results go, so that what another kernel left there does not count.
void poison(const Problem& problem, Guarded& out) {
  const size_t size = size_of(problem.out_dtype);
  for (const StoredRow& row : sorted_rows(problem, kOut))
    std::memset(out.data() + static_cast<size_t>(row.at) * size, 0xff, static_cast<size_t>(row.count) * size);
}

// How many results are compared: all but of the largest.
size_t looks(const Problem& problem) {
  const double each = std::max(1.0, work(problem).flops / std::max(1.0, static_cast<double>(operand_bytes(problem)[kOut])));
  return static_cast<size_t>(std::clamp(1e8 / each, 64.0, 1e7));
}

size_t size(const Problem& problem, size_t operand) { return static_cast<size_t>(operand_bytes(problem)[operand]); }

}  // namespace

std::vector<Instance> instances(Op op, const DeviceInfo& device) {
  std::vector<Instance> all;
  if (device.backend != "cpu") {
    for (const Variant& variant : variants(op))
      for (const Tuning& tuning : variant.tunings)
        if (variant.backend() == device.backend) all.push_back({&variant, tuning, device});
    return all;
  }
  const auto isas = cpu::supported_isas();
  for (const auto& isa : isas)
    for (const Variant& variant : variants(op))
      for (const Tuning& tuning : variant.tunings) {
        if (variant.backend() != device.backend) continue;
        const bool has_isa = variant.family != "reference" && variant.library().empty();
        if (!has_isa && isa.bit != isas.front().bit) continue;
        all.push_back({&variant, tuning, device});
        all.back().device.cpu().isa = isa.name;
        all.back().device.cpu().hwy_target = isa.bit;
      }
  return all;
}

Result<Plan> AnyPlanner::plan_part(const Problem& part) {
  std::vector<std::pair<const Variant*, const Tuning*>> takers;
  for (const Variant& variant : variants(part.op()))
    for (const Tuning& tuning : variant.tunings)
      if (variant.family != "reference" && variant.reduction_id(part, tuning, device_) && !variant.rejects(part, tuning, device_))
        takers.emplace_back(&variant, &tuning);
  if (takers.empty()) {
    const Variant* const reference = find_variant(part.op(), "cpu_reference");
    takers.emplace_back(reference, &reference->tunings.front());
  }
  const auto& [variant, tuning] = takers[turn_++ % takers.size()];
  METALLIC_TRY(auto kernel, variant->prepare(part, *tuning, device_, *this));
  return Plan{.problem = part, .choice = {.variant = variant, .tuning = tuning}, .kernel = std::move(kernel)};
}

Trial::Trial(Case what)
    : case_(std::move(what)),
      in_{Guarded(size(case_.problem, 0)), Guarded(size(case_.problem, 1)), Guarded(size(case_.problem, 2))},
      out_(size(case_.problem, kOut)) {
  const Problem& problem = case_.problem;
  for (size_t i = 0; i < std::size(in_); ++i) fill(case_, i, in_[i]);
  // With beta = 0 the output is not to be read, and holds NaN.
  if (problem.op()->reads_output(problem)) fill(case_, kOut, out_);
  if (case_.in_place) std::memcpy(out_.data(), in_[0].data(), out_.bytes());
  if (out_.bytes() <= Guarded::kSparse) out_before_.assign(out_.data(), out_.data() + out_.bytes());
  const Args args{.in = {in_[0].data(), in_[1].data(), in_[2].data()}, .out = out_.data()};
  expected_.emplace(problem, args, out_before_.data(), looks(problem));
  if (case_.values == Values::integers) expected_->demand_exact();
}

bool Trial::concerns(const Instance& instance) const {
  if (instance.variant->rejects(case_.problem, instance.tuning, instance.device)) return false;
  // oneDNN's softmax gives NaN only where the NaN is.
  const bool spreads_nan =
      tuner_operation(case_.problem.op()).nan_in_each_row && (case_.values == Values::nan || case_.values == Values::infinity);
  return !spreads_nan || instance.variant->library().empty();
}

std::string Trial::describe(const Instance& instance) const {
  const Problem& p = case_.problem;
  return fmt::format("{} {} on {}, {}→{}, {} thread{}, {}, {}{}", name(p.op()), to_string(*instance.variant, instance.tuning),
                     instance.device.isa(), name(p.dtype), name(p.out_dtype), p.threads, p.threads == 1 ? "" : "s", label(p),
                     name(case_.values), case_.in_place ? ", in place" : "");
}

std::optional<std::string> Trial::written_beside() const {
  const auto width = static_cast<int64_t>(size_of(case_.problem.out_dtype));
  int64_t at = 0;
  const auto untouched = [&](int64_t end) {
    return std::memcmp(out_.data() + at, out_before_.data() + at, static_cast<size_t>(end - at)) == 0;
  };
  for (const StoredRow& row : sorted_rows(case_.problem, kOut)) {
    if (row.at * width > at && !untouched(row.at * width))
      return fmt::format("wrote between rows before byte {}", row.at * width);
    at = (row.at + row.count) * width;
  }
  return std::nullopt;
}

std::optional<std::string> Trial::run_once(const Instance& instance, const Problem& problem, Executor& executor) {
  AnyPlanner planner(instance.device, turn_);
  auto kernel = instance.variant->prepare(problem, instance.tuning, instance.device, planner);
  if (!kernel) return kernel.error().message;
  // The workspace ends at a guard page too: it is exact, but for its last cache line.
  Guarded workspace(((*kernel)->workspace() + 63) / 64 * 64);
  if (out_before_.empty())
    poison(case_.problem, out_);
  else
    std::copy(out_before_.begin(), out_before_.end(), out_.data());
  const void* first = case_.in_place ? out_.data() : in_[0].data();
  const Args args{.in = {first, in_[1].data(), in_[2].data()}, .out = out_.data()};
  if (executor.stream()) {
    if (auto wrong = run_on_device(**kernel, args, operand_bytes(problem), executor)) return wrong;
  } else if (const Code code = (*kernel)->run(args, workspace.data(), executor); code != Code::ok) {
    return std::string(name(code));
  }
  if (auto wrong = expected_->first_difference(out_.data())) return wrong;
  return out_before_.empty() ? std::nullopt : written_beside();
}

std::optional<std::string> Trial::run(const Instance& instance, Executor& executor) {
  ++turn_;
  if (auto wrong = run_once(instance, case_.problem, executor)) return wrong;
  // Libraries promise no bits; outputs that are sparse are not kept.
  if (out_before_.empty() || !instance.variant->reduction_id(case_.problem, instance.tuning, instance.device))
    return std::nullopt;
  const std::vector<std::byte> before(out_.data(), out_.data() + out_.bytes());
  Problem alone = case_.problem;
  alone.threads = 1;
  InlineExecutor inline_executor;
  // On a GPU this is a second run, and a race would show.
  if (auto wrong = run_once(instance, alone, executor.stream() ? executor : inline_executor)) return "on one thread: " + *wrong;
  if (std::memcmp(before.data(), out_.data(), before.size()) != 0) return "gives other bits on one thread";
  return std::nullopt;
}

}  // namespace metallic::validation
