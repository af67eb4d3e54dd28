#include "tuner/verify/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "device/cpu/isa.h"
#include "ops/label.h"
#include "ops/packed.h"
#include "ops/element.h"
#include "ops/registry.h"
#include "tuner/verify/cuda_run.h"

namespace metallic::validation {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// A row of an operand, in elements.
struct Piece {
  int64_t at;
  int64_t count;
  int64_t row;  // of its matrix
  auto operator<=>(const Piece&) const = default;
};

void add_pieces(const HeadStrides& strides, int64_t batch, int64_t heads, int64_t rows, int64_t columns, std::vector<Piece>& to) {
  if (columns == 0) return;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < rows; ++i) to.push_back({b * strides.batch + h * strides.head + i * strides.row, columns, i});
}

// Where the elements of an operand lie, in rising order, each once: matrices with stride 0 are one.
std::vector<Piece> pieces(const Problem& problem, size_t operand) {
  std::vector<Piece> all;
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    if (operand == 0) add_pieces({0, 0, s.in_stride}, 1, 1, s.rows(), s.seq_k, all);
    if (operand == kOut) add_pieces({0, 0, s.out_stride}, 1, 1, s.rows(), s.seq_k, all);
  } else if (problem.op() == Op::matmul) {
    const auto& s = problem.matmul();
    const auto distinct = [&](int64_t stride) { return stride == 0 ? std::min<int64_t>(1, s.batch) : s.batch; };
    if (operand == 0)
      add_pieces({s.batch_stride_a, 0, s.lda}, distinct(s.batch_stride_a), 1, s.ta ? s.k : s.m, s.ta ? s.m : s.k, all);
    if (operand == 1 && s.packed)
      all.push_back({0, operand_bytes(problem)[1] / static_cast<int64_t>(size_of(problem.dtype)), 0});
    else if (operand == 1)
      add_pieces({s.batch_stride_b, 0, s.ldb}, distinct(s.batch_stride_b), 1, s.tb ? s.n : s.k, s.tb ? s.k : s.n, all);
    if (operand == kOut) add_pieces({s.batch_stride_c, 0, s.ldc}, s.batch, 1, s.m, s.n, all);
  } else {
    const auto& s = problem.sdpa();
    if (operand == 0) add_pieces(s.q, s.batch, s.heads, s.seq_q, s.head_dim, all);
    if (operand == 1) add_pieces(s.k, s.batch, s.kv_heads, s.seq_k, s.head_dim, all);
    if (operand == 2) add_pieces(s.v, s.batch, s.kv_heads, s.seq_k, s.head_dim, all);
    if (operand == kOut) add_pieces(s.out, s.batch, s.heads, s.seq_q, s.head_dim, all);
  }
  std::ranges::sort(all);
  return all;
}

// Element j of row i of an operand, x uniform in [−1, 1).
double shaped(Op op, size_t operand, Values values, DType dtype, int64_t i, int64_t j, int64_t columns, double x) {
  const bool hit = operand == 0 && j == columns / 2 && (op == Op::softmax || i == 0);
  switch (values) {
    case Values::random: return x;
    case Values::wide:
      if (op == Op::softmax) return 88 * x;
      return op == Op::matmul ? 1000 * x : operand == 0 ? 30 * x : x;
    case Values::denormal: return x * (dtype == DType::f16 ? 0x1p-20 : 0x1p-132);
    case Values::far: return 1000 + x;
    case Values::overflowing: return (x < 0 ? -1 : 1) * (dtype == DType::f16 ? 65504 : 3e38);
    case Values::some_minus_infinity: return x > 0.5 ? -kInfinity : x;
    case Values::all_minus_infinity: return -kInfinity;
    case Values::infinity: return hit ? kInfinity : x;
    case Values::nan: return hit ? kNaN : x;
    case Values::equal: return op == Op::softmax ? -1e4 : 0.5;
    case Values::integers: return std::round(8 * x);
  }
  return x;
}

// Does a mask hide element j of row i of an operand from every query that it could concern?
bool hidden(const Problem& problem, size_t operand, int64_t i, int64_t j) {
  if (problem.op() == Op::softmax) {
    const auto& s = problem.softmax();
    return operand == 0 && s.causal && j >= visible_keys(i % s.seq_q, s.seq_q, s.seq_k, true, s.offset);
  }
  if (problem.op() != Op::sdpa || (operand != 1 && operand != 2)) return false;
  const auto& s = problem.sdpa();
  return s.causal && s.seq_q > 0 && i >= visible_keys(s.seq_q - 1, s.seq_q, s.seq_k, true, s.offset);
}

// What packed weights have besides weights: zeros after the last of K, and columns that no result depends on.
void fill_up(const Problem& problem, Guarded& memory) {
  const MatmulShape& s = problem.matmul();
  for (int64_t k = 0; k < packed_k(problem.dtype, s.k); ++k)
    for (int64_t j = 0; j < (s.n + kPanel - 1) / kPanel * kPanel; ++j)
      if (k >= s.k || j >= s.n)
        set_element(problem.dtype, memory.data(), packed_index(problem.dtype, s.k, k, j), k < s.k ? kNaN : 0);
}

void fill(const Case& what, size_t operand, Guarded& memory) {
  const DType dtype = operand == kOut ? what.problem.out_dtype : what.problem.dtype;
  std::vector<float> random;
  int64_t i = 0;
  for (const Piece& piece : pieces(what.problem, operand)) {
    random.resize(static_cast<size_t>(piece.count));
    fill_random(DType::f32, random.data(), random.size(), 1000 * (operand + 1) + static_cast<uint64_t>(i));
    for (int64_t j = 0; j < piece.count; ++j)
      set_element(dtype, memory.data(), piece.at + j,
                  hidden(what.problem, operand, piece.row, j) ? kNaN
                                                              : shaped(what.problem.op(), operand, what.values, dtype, i, j,
                                                                       piece.count, random[static_cast<size_t>(j)]));
    ++i;
  }
  if (operand == 1 && what.problem.op() == Op::matmul && what.problem.matmul().packed) fill_up(what.problem, memory);
}

// NaN where the results go, so that what another kernel left there does not count.
void poison(const Problem& problem, Guarded& out) {
  const size_t size = size_of(problem.out_dtype);
  for (const Piece& piece : pieces(problem, kOut))
    std::memset(out.data() + static_cast<size_t>(piece.at) * size, 0xff, static_cast<size_t>(piece.count) * size);
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
  std::vector<std::pair<const Variant*, Tuning>> takers;
  for (const Variant& variant : variants(part.op()))
    for (const Tuning& tuning : variant.tunings)
      if (variant.family != "reference" && variant.reduction_id(part, tuning, device_) && !variant.rejects(part, tuning, device_))
        takers.emplace_back(&variant, tuning);
  if (takers.empty()) takers.emplace_back(find_variant(part.op(), "cpu_reference"), Tuning{});
  const auto& [variant, tuning] = takers[turn_++ % takers.size()];
  METALLIC_TRY(auto kernel, variant->prepare(part, tuning, device_, *this));
  return Plan{{.problem = part, .variant = variant, .tuning = tuning}, std::move(kernel)};
}

Trial::Trial(Case what)
    : case_(std::move(what)),
      in_{Guarded(size(case_.problem, 0)), Guarded(size(case_.problem, 1)), Guarded(size(case_.problem, 2))},
      out_(size(case_.problem, kOut)) {
  const Problem& problem = case_.problem;
  for (size_t i = 0; i < std::size(in_); ++i) fill(case_, i, in_[i]);
  // With beta = 0 the output is not to be read, and holds NaN.
  if (problem.op() == Op::matmul && problem.matmul().beta != 0) fill(case_, kOut, out_);
  if (case_.in_place) std::memcpy(out_.data(), in_[0].data(), out_.bytes());
  if (out_.bytes() <= Guarded::kSparse) out_before_.assign(out_.data(), out_.data() + out_.bytes());
  const Args args{.in = {in_[0].data(), in_[1].data(), in_[2].data()}, .out = out_.data()};
  expected_.emplace(problem, args, out_before_.data(), looks(problem));
  if (case_.values == Values::integers) expected_->demand_exact();
}

bool Trial::concerns(const Instance& instance) const {
  if (instance.variant->rejects(case_.problem, instance.tuning, instance.device)) return false;
  // oneDNN's softmax gives NaN only where the NaN is.
  const bool spreads_nan = case_.problem.op() == Op::softmax && (case_.values == Values::nan || case_.values == Values::infinity);
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
  for (const Piece& piece : pieces(case_.problem, kOut)) {
    if (piece.at * width > at && !untouched(piece.at * width))
      return fmt::format("wrote between rows before byte {}", piece.at * width);
    at = (piece.at + piece.count) * width;
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
  if (out_before_.empty() || !instance.variant->reduction_id(case_.problem, instance.tuning, instance.device)) return std::nullopt;
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
