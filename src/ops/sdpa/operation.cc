// SPDX-License-Identifier: Apache-2.0
// What sdpa is, for labels, rules, the C interface and the dispatcher.
#include "ops/operation.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "ops/extents.h"
#include "ops/hash.h"
#include "ops/mask.h"
#include "ops/sdpa/shape.h"
#include "ops/unusual.h"

namespace metallic {

std::span<const Variant> sdpa_variants();  // generated

namespace sdpa {
namespace {

const SdpaShape& shape(const Problem& problem) { return problem.as<SdpaShape>(); }

HeadStrides contiguous_strides(int64_t heads, int64_t rows, int64_t head_dim) {
  const int64_t head = area(rows, head_dim);
  return {.batch = area(heads, head), .head = head, .row = head_dim};
}

AxisValues axis_values(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  AxisValues at{};
  at[static_cast<size_t>(Axis::heads)] = s.batch * s.heads;
  at[static_cast<size_t>(Axis::seq_q)] = s.seq_q;
  at[static_cast<size_t>(Axis::seq_k)] = s.seq_k;
  at[static_cast<size_t>(Axis::batch)] = s.batch;
  at[static_cast<size_t>(Axis::head_dim)] = s.head_dim;
  return at;
}

Status validate(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  if (s.batch < 0 || s.heads < 0 || s.kv_heads < 0 || s.seq_q < 0 || s.seq_k < 0 || s.head_dim < 0)
    return fail(Code::invalid_argument,
                "sdpa dimensions must be ≥ 0, got batch {} heads {} kv_heads {} seq_q {} seq_k {} head_dim {}", s.batch, s.heads,
                s.kv_heads, s.seq_q, s.seq_k, s.head_dim);
  if (s.heads > 0 && (s.kv_heads == 0 || s.heads % s.kv_heads != 0))
    return fail(Code::invalid_argument, "sdpa heads must be a multiple of kv_heads, got {} and {}", s.heads, s.kv_heads);
  for (const auto& [strides, what] : {std::pair{&s.q, "q"}, {&s.k, "k"}, {&s.v, "v"}, {&s.out, "out"}})
    if (strides->row < s.head_dim || strides->head < 0 || strides->batch < 0)
      return fail(Code::invalid_argument,
                  "sdpa strides of {} must be ≥ head_dim {} from row to row and ≥ 0 else, got batch {} head {} row {}", what,
                  s.head_dim, strides->batch, strides->head, strides->row);
  if (s.seq_q > 0 && s.head_dim > 0 && ((s.batch > 1 && s.heads > 0 && s.out.batch == 0) || (s.heads > 1 && s.out.head == 0)))
    return fail(Code::invalid_argument, "the heads of an sdpa cannot share their output: a stride of out is 0");
  if (std::isfinite(s.scale) && s.scale > 0) return {};
  return fail(Code::invalid_argument, "the scale of a softmax must be finite and > 0, got {}", s.scale);
}

bool surely_addressable(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  const auto strides = [](const HeadStrides& of) { return of.batch | of.head | of.row; };
  // Three products of two sizes stay below 2⁶⁰ elements.
  return all_below<29>(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim, strides(s.q), strides(s.k), strides(s.v),
                       strides(s.out));
}

OperandBytes operand_bytes(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  const auto span = [&](const HeadStrides& strides, int64_t heads, int64_t rows, DType dtype) {
    return span_bytes({{s.batch, strides.batch}, {heads, strides.head}, {rows, strides.row}}, s.head_dim, dtype);
  };
  return {span(s.q, s.heads, s.seq_q, problem.dtype), span(s.k, s.kv_heads, s.seq_k, problem.dtype),
          span(s.v, s.kv_heads, s.seq_k, problem.dtype), span(s.out, s.heads, s.seq_q, problem.out_dtype)};
}

Work work(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const auto heads = static_cast<double>(s.batch) * static_cast<double>(s.heads), d = static_cast<double>(s.head_dim),
             q = static_cast<double>(s.seq_q), k = static_cast<double>(s.seq_k);
  const double pairs = heads * visible_pairs(s.seq_q, s.seq_k, s.causal, s.offset);
  const auto seen = static_cast<double>(s.seq_q == 0 ? 0 : visible_keys(s.seq_q - 1, s.seq_q, s.seq_k, s.causal, s.offset));
  const auto kv = static_cast<double>(s.batch) * static_cast<double>(s.kv_heads) * seen * d;
  return {.operations = 4 * heads * q * k * d,
          .flops = pairs * (4 * d + 5),
          .bytes = in * (heads * q * d + 2 * kv) + out * heads * q * d};
}

uint64_t hash(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  return hash_of(static_cast<uint64_t>(problem.dtype) + 16, s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim, s.causal,
                 s.offset);
}

std::string unusual(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  const SdpaShape usual = sdpa_problem(s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim).as<SdpaShape>();
  Unusual differences;
  const auto add = [&](std::string_view name, const HeadStrides& is, const HeadStrides& contiguous) {
    if (is != contiguous) differences.append(fmt::format("{}={}/{}/{}", name, is.batch, is.head, is.row));
  };
  add("q", s.q, usual.q);
  add("k", s.k, usual.k);
  add("v", s.v, usual.v);
  add("out", s.out, usual.out);
  differences.add("scale", s.scale, usual.scale);
  return differences.text();
}

std::string print_label(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  return fmt::format("batch{}_h{}kv{}_seqq{}_seqk{}_d{}{}", s.batch, s.heads, s.kv_heads, s.seq_q, s.seq_k, s.head_dim,
                     mask_label(s.causal, s.offset, s.seq_q, s.seq_k));
}

// `_h`, before `_seqq` if there is one.
bool owns_label(std::string_view text) { return text.substr(0, text.find("_seqq")).find("_h") != std::string_view::npos; }

Result<LabelPattern> scan_label(LabelScanner& scanner) {
  LabelPattern pattern;
  for (const std::string_view word : {"batch", "_h", "kv", "_seqq", "_seqk", "_d"}) {
    METALLIC_CHECK(scanner.expect(word));
    METALLIC_TRY(auto values, scanner.integers());
    pattern.numbers.push_back(std::move(values));
  }
  METALLIC_TRY(const Mask mask, scan_mask(scanner));
  pattern.make = [=](const auto& v) {
    Problem problem = sdpa_problem(v[0], v[1], v[2], v[3], v[4], v[5]);
    if (mask.causal) make_causal(problem.as<SdpaShape>(), mask.offset);
    return problem;
  };
  return pattern;
}

Problem from_c(const metallic_problem& given) {
  const int64_t kv_heads = given.kv_heads == 0 ? given.heads : given.kv_heads;
  Problem problem =
      sdpa_problem(given.batch == 0 ? 1 : given.batch, given.heads, kv_heads, given.seq_q, given.seq_k, given.head_dim);
  auto& s = problem.as<SdpaShape>();
  if (given.causal != 0) make_causal(s, given.offset);
  if (given.scale != 0 || (given.given & METALLIC_GIVEN_SCALE)) s.scale = given.scale;
  const bool as_given = given.given & METALLIC_GIVEN_STRIDES;
  // Contiguous distances include the padding of the dimensions inside.
  const auto set = [&](const metallic_strides& wanted, int64_t heads, int64_t rows, HeadStrides& strides) {
    if (wanted.row != 0 || as_given) strides.row = wanted.row;
    strides.head = wanted.head != 0 || as_given ? wanted.head : area(rows, strides.row);
    strides.batch = wanted.batch != 0 || as_given ? wanted.batch : area(heads, strides.head);
  };
  set(given.q_strides, s.heads, s.seq_q, s.q);
  set(given.k_strides, s.kv_heads, s.seq_k, s.k);
  set(given.v_strides, s.kv_heads, s.seq_k, s.v);
  set(given.out_strides, s.heads, s.seq_q, s.out);
  return problem;
}

CKey c_key(const metallic_problem& p) {
  const metallic_strides &q = p.q_strides, &k = p.k_strides, &v = p.v_strides, &out = p.out_strides;
  return CKey(p, p.batch, p.heads, p.kv_heads, p.seq_q, p.seq_k, p.head_dim, p.causal, p.offset, p.scale, q.batch, q.head, q.row,
              k.batch, k.head, k.row, v.batch, v.head, v.row, out.batch, out.head, out.row);
}

metallic_problem to_c(const Problem& problem) {
  const SdpaShape& s = shape(problem);
  metallic_problem filled{};
  filled.op = METALLIC_SDPA;
  filled.batch = s.batch;
  filled.heads = s.heads;
  filled.kv_heads = s.kv_heads;
  filled.seq_q = s.seq_q;
  filled.seq_k = s.seq_k;
  filled.head_dim = s.head_dim;
  filled.causal = s.causal;
  filled.offset = s.offset;
  return filled;
}

constexpr std::array<std::string_view, 4> kLayouts = {"contiguous", "contiguous_causal", "strided", "strided_causal"};
constexpr std::array kOwnAxes = {Axis::heads, Axis::seq_q, Axis::seq_k, Axis::batch, Axis::head_dim};

std::vector<Rule> default_rules(const RuleKey&, const DeviceInfo& device, const Limits&) {
  const auto named = [&](std::string_view what) { return fmt::format("{}_{}", device.backend, what); };
  return {
      // Few queries leave most of a tile empty; up to 16 of each head, with four heads that share K and V, reading the keys once
      // for
      // all of them wins (4096 keys: 2.6 times with 2 queries, 1.0 to 1.1 with 16; a head alone 1.8 with 16).
      {.when = {{.axis = Axis::seq_q, .high = 16}}, .use = named("decode")},
      {.use = named("flash")},
      // batch_invariant admits its reduction order.
      {.use = named("materialized")},
  };
}

std::span<const CanonicalOrder> canonical_orders(std::string_view backend) {
  static constexpr CanonicalOrder kCpu[] = {{"cpu_materialized", "heads=0"}};
  return backend == "cuda" ? std::span<const CanonicalOrder>() : kCpu;
}

}  // namespace
}  // namespace sdpa

constinit const Operation sdpa_operation = {
    .name = "sdpa",
    .order = METALLIC_SDPA,
    .equal = [](const Shape& a, const Shape& b) { return a.as<SdpaShape>() == b.as<SdpaShape>(); },
    .layouts = sdpa::kLayouts,
    .layout = [](const Problem& p) { return size_t{!sdpa::shape(p).contiguous()} * 2 + size_t{sdpa::shape(p).causal}; },
    .axes = sdpa::kOwnAxes,
    .axis_values = sdpa::axis_values,
    .validate = sdpa::validate,
    .surely_addressable = sdpa::surely_addressable,
    .operand_bytes = sdpa::operand_bytes,
    .work = sdpa::work,
    .hash = sdpa::hash,
    .reads_output = [](const Problem&) { return false; },
    .check_in_place = nullptr,
    .unusual = sdpa::unusual,
    .writes_as_much_as_it_reads = false,
    .label = sdpa::print_label,
    .owns_label = sdpa::owns_label,
    .scan_label = sdpa::scan_label,
    .label_examples = "batch1_h32kv8_seqq1_seqk4096_d128_causal",
    .from_c = sdpa::from_c,
    .c_key = sdpa::c_key,
    .to_c = sdpa::to_c,
    .variants = sdpa_variants,
    .variant_variable = "METALLIC_SDPA_VARIANT",
    .variant_variable_help = "forces the sdpa variant",
    .short_names = {},
    .limits = {},
    .default_rules = sdpa::default_rules,
    .canonical_orders = sdpa::canonical_orders,
};

bool SdpaShape::contiguous() const {
  const HeadStrides of_queries = sdpa::contiguous_strides(heads, seq_q, head_dim),
                    of_keys = sdpa::contiguous_strides(kv_heads, seq_k, head_dim);
  return q == of_queries && k == of_keys && v == of_keys && out == of_queries;
}

Problem sdpa_problem(int64_t batch, int64_t heads, int64_t kv_heads, int64_t seq_q, int64_t seq_k, int64_t head_dim) {
  return {.shape = SdpaShape{.batch = batch,
                             .heads = heads,
                             .kv_heads = kv_heads,
                             .seq_q = seq_q,
                             .seq_k = seq_k,
                             .head_dim = head_dim,
                             .scale = head_dim > 0 ? 1 / std::sqrt(static_cast<float>(head_dim)) : 1,
                             .q = sdpa::contiguous_strides(heads, seq_q, head_dim),
                             .k = sdpa::contiguous_strides(kv_heads, seq_k, head_dim),
                             .v = sdpa::contiguous_strides(kv_heads, seq_k, head_dim),
                             .out = sdpa::contiguous_strides(heads, seq_q, head_dim)}};
}

void make_causal(SdpaShape& sdpa, std::optional<int64_t> offset) {
  sdpa.causal = true;
  sdpa.offset = offset.value_or(sdpa.seq_k - sdpa.seq_q);
}

}  // namespace metallic
