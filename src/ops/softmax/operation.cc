// SPDX-License-Identifier: Apache-2.0
// What softmax is, for labels, rules, the C interface and the dispatcher.
#include "ops/operation.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "ops/extents.h"
#include "ops/hash.h"
#include "ops/mask.h"
#include "ops/softmax/shape.h"
#include "ops/unusual.h"

namespace metallic {

std::span<const Variant> softmax_variants();  // generated

namespace softmax {
namespace {

const SoftmaxShape& shape(const Problem& problem) { return problem.as<SoftmaxShape>(); }

AxisValues axis_values(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  AxisValues at{};
  at[static_cast<size_t>(Axis::rows)] = s.rows();
  at[static_cast<size_t>(Axis::seq_q)] = s.seq_q;
  at[static_cast<size_t>(Axis::seq_k)] = s.seq_k;
  at[static_cast<size_t>(Axis::batch)] = s.batch;
  at[static_cast<size_t>(Axis::elements)] = s.rows() * s.seq_k;
  return at;
}

Status validate(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  if (s.batch < 0 || s.seq_q < 0 || s.seq_k < 0)
    return fail(Code::invalid_argument, "softmax dimensions must be ≥ 0, got batch {} seq_q {} seq_k {}", s.batch, s.seq_q,
                s.seq_k);
  if (s.causal && s.rank == 2) return fail(Code::invalid_argument, "a 2-D softmax cannot be causal: give batch, seq_q and seq_k");
  if (s.in_stride < s.seq_k || s.out_stride < s.seq_k)
    return fail(Code::invalid_argument, "softmax row strides must be ≥ seq_k {}, got {} and {}", s.seq_k, s.in_stride,
                s.out_stride);
  if (std::isfinite(s.scale) && s.scale > 0) return {};
  return fail(Code::invalid_argument, "the scale of a softmax must be finite and > 0, got {}", s.scale);
}

bool surely_addressable(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  return all_below<20>(s.batch, s.seq_q, s.seq_k, s.in_stride, s.out_stride);  // three sizes multiplied stay below 2⁶⁰
}

OperandBytes operand_bytes(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  int64_t rows = 0;
  if (__builtin_mul_overflow(s.batch, s.seq_q, &rows)) return {kTooManyBytes, 0, 0, kTooManyBytes};
  return {span_bytes({{rows, s.in_stride}}, s.seq_k, problem.dtype), 0, 0,
          span_bytes({{rows, s.out_stride}}, s.seq_k, problem.out_dtype)};
}

Work work(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const double elements = static_cast<double>(s.batch) * static_cast<double>(s.seq_q) * static_cast<double>(s.seq_k);
  const double visible = static_cast<double>(s.batch) * visible_pairs(s.seq_q, s.seq_k, s.causal, s.offset);
  return {.operations = 3 * elements, .flops = 5 * visible, .bytes = in * visible + out * elements};
}

uint64_t hash(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  return hash_of(static_cast<uint64_t>(problem.dtype), s.batch, s.seq_q, s.seq_k, s.causal, s.offset);
}

Status check_in_place(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  if (s.rows() > 1 && s.in_stride != s.out_stride)
    return fail(Code::invalid_argument, "in place, a softmax needs equal strides, got {} and {}", s.in_stride, s.out_stride);
  if (problem.dtype != problem.out_dtype)
    return fail(Code::invalid_argument, "in place, a softmax needs equal types, got {} and {}", name(problem.dtype),
                name(problem.out_dtype));
  return {};
}

std::string unusual(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  Unusual differences;
  differences.add("in_stride", s.in_stride, s.seq_k);
  differences.add("out_stride", s.out_stride, s.seq_k);
  differences.add("scale", s.scale, 1.0f);
  return differences.text();
}

std::string print_label(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  if (s.rank == 2) return fmt::format("rows{}_seqk{}", s.seq_q, s.seq_k);
  return fmt::format("batch{}_seqq{}_seqk{}{}", s.batch, s.seq_q, s.seq_k, mask_label(s.causal, s.offset, s.seq_q, s.seq_k));
}

// `rows`, or `_seqq` without the heads of sdpa before it.
bool owns_label(std::string_view text) {
  const size_t seq_q = text.find("_seqq");
  if (text.substr(0, seq_q).find("_h") != std::string_view::npos) return false;
  return text.starts_with("rows") || seq_q != std::string_view::npos;
}

Result<LabelPattern> scan_label(LabelScanner& scanner) {
  LabelPattern pattern;
  if (scanner.accept("rows")) {
    METALLIC_TRY(auto rows, scanner.integers());
    METALLIC_CHECK(scanner.expect("_seqk"));
    METALLIC_TRY(auto seq_k, scanner.integers());
    pattern.numbers = {rows, seq_k};
    pattern.make = [](const auto& v) { return softmax_problem(v[0], v[1]); };
    return pattern;
  }
  for (const std::string_view word : {"batch", "_seqq", "_seqk"}) {
    METALLIC_CHECK(scanner.expect(word));
    METALLIC_TRY(auto values, scanner.integers());
    pattern.numbers.push_back(std::move(values));
  }
  METALLIC_TRY(const Mask mask, scan_mask(scanner));
  pattern.make = [=](const auto& v) {
    Problem problem = softmax_problem(v[0], v[1], v[2]);
    if (mask.causal) make_causal(problem.as<SoftmaxShape>(), mask.offset);
    return problem;
  };
  return pattern;
}

// batch 0 is a 2-D tensor; a mask makes it 3-D, since 2-D rows have no query position.
Problem from_c(const metallic_problem& given) {
  const bool masked = given.causal != 0;
  const bool scaled = given.scale != 0 || (given.given & METALLIC_GIVEN_SCALE);
  const auto stride = [&](int64_t wanted) {
    return wanted == 0 && !(given.given & METALLIC_GIVEN_STRIDES) ? given.seq_k : wanted;
  };
  return {.shape = SoftmaxShape{.rank = given.batch == 0 && !masked ? 2 : 3,
                                .batch = given.batch == 0 ? 1 : given.batch,
                                .seq_q = given.seq_q,
                                .seq_k = given.seq_k,
                                .causal = masked,
                                .offset = masked ? given.offset : 0,
                                .scale = scaled ? given.scale : 1,
                                .in_stride = stride(given.in_stride),
                                .out_stride = stride(given.out_stride)}};
}

CKey c_key(const metallic_problem& p) {
  return CKey(p, p.batch, p.seq_q, p.seq_k, p.causal, p.offset, p.scale, p.in_stride, p.out_stride);
}

metallic_problem to_c(const Problem& problem) {
  const SoftmaxShape& s = shape(problem);
  metallic_problem filled{};
  filled.op = METALLIC_SOFTMAX;
  filled.batch = s.rank == 2 ? 0 : s.batch;
  filled.seq_q = s.seq_q;
  filled.seq_k = s.seq_k;
  filled.causal = s.causal;
  filled.offset = s.offset;
  return filled;
}

constexpr std::array<std::string_view, 4> kLayouts = {"contiguous", "contiguous_causal", "strided", "strided_causal"};
constexpr std::array kOwnAxes = {Axis::rows, Axis::seq_q, Axis::seq_k, Axis::batch, Axis::elements};
constexpr std::array kShortNames = {ShortName{"vec"}, ShortName{"block"}};

// The tuning guide's 1024 on a CPU. On a GPU `vec` wins as long as a row fits the registers of a cluster, or, before Hopper, of a
// block: on an H200 with bf16 and f32 alike.
constexpr std::array kLimits = {LimitVariable{
    "METALLIC_SOFTMAX_VEC_BLOCK_THRESHOLD", "softmax uses vec up to this seq_k, and block above", "softmax_vec_block",
    [](const DeviceInfo& device, DType) -> int64_t { return device.is_cpu() ? 1024 : 262144; }}};

std::vector<Rule> default_rules(const RuleKey& key, const DeviceInfo& device, const Limits& overrides) {
  const auto named = [&](std::string_view what) { return fmt::format("{}_{}", device.backend, what); };
  return {
      {.when = {{.axis = Axis::seq_k, .high = value_of(kLimits[0], overrides, device, key.dtype)}}, .use = named("vec")},
      {.use = named("block")},
  };
}

std::span<const CanonicalOrder> canonical_orders(std::string_view backend) {
  // A row in the registers of part of a warp up to a cluster, as long as it is; longer ones, and those that begin anywhere, in
  // the order of one block.
  static constexpr CanonicalOrder kCuda[] = {{"cuda_vec", "block=512;chunks=4"}, {"cuda_block", "fixed=1;threads=256"}};
  static constexpr CanonicalOrder kCpu[] = {{"cpu_vec", "unroll=4"}};
  return backend == "cuda" ? std::span<const CanonicalOrder>(kCuda) : kCpu;
}

}  // namespace
}  // namespace softmax

constinit const Operation softmax_operation = {
    .name = "softmax",
    .order = METALLIC_SOFTMAX,
    .equal = [](const Shape& a, const Shape& b) { return a.as<SoftmaxShape>() == b.as<SoftmaxShape>(); },
    .layouts = softmax::kLayouts,
    .layout = [](const Problem& p) { return size_t{!softmax::shape(p).contiguous()} * 2 + size_t{softmax::shape(p).causal}; },
    .axes = softmax::kOwnAxes,
    .axis_values = softmax::axis_values,
    .validate = softmax::validate,
    .surely_addressable = softmax::surely_addressable,
    .operand_bytes = softmax::operand_bytes,
    .work = softmax::work,
    .hash = softmax::hash,
    .reads_output = [](const Problem&) { return false; },
    .check_in_place = softmax::check_in_place,
    .unusual = softmax::unusual,
    .writes_as_much_as_it_reads = true,
    .label = softmax::print_label,
    .owns_label = softmax::owns_label,
    .scan_label = softmax::scan_label,
    .label_examples = "rows64_seqk512, batch1_seqq64_seqk512_causal",
    .from_c = softmax::from_c,
    .c_key = softmax::c_key,
    .to_c = softmax::to_c,
    .variants = softmax_variants,
    .variant_variable = "METALLIC_SOFTMAX_VARIANT",
    .variant_variable_help = "forces the softmax variant",
    .short_names = softmax::kShortNames,
    .limits = softmax::kLimits,
    .default_rules = softmax::default_rules,
    .canonical_orders = softmax::canonical_orders,
};

Problem softmax_problem(int64_t rows, int64_t seq_k) {
  return {.shape = SoftmaxShape{.rank = 2, .seq_q = rows, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

Problem softmax_problem(int64_t batch, int64_t seq_q, int64_t seq_k) {
  return {.shape =
              SoftmaxShape{.rank = 3, .batch = batch, .seq_q = seq_q, .seq_k = seq_k, .in_stride = seq_k, .out_stride = seq_k}};
}

void make_causal(SoftmaxShape& softmax, std::optional<int64_t> offset) {
  softmax.causal = true;
  softmax.offset = offset.value_or(softmax.seq_k - softmax.seq_q);
}

}  // namespace metallic
