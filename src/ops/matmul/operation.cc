// SPDX-License-Identifier: Apache-2.0
// What matmul is, for labels, the C interface and the dispatcher; its built-in rules are in default_rules.cc.
#include "ops/operation.h"

#include <fmt/format.h>

#include <array>

#include "base/math.h"
#include "ops/extents.h"
#include "ops/hash.h"
#include "ops/matmul/default_rules.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "ops/unusual.h"

namespace metallic {

std::span<const Variant> matmul_variants();  // generated

namespace matmul {
namespace {

const MatmulShape& shape(const Problem& problem) { return problem.as<MatmulShape>(); }

AxisValues axis_values(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  AxisValues at{};
  at[static_cast<size_t>(Axis::big)] = s.big();
  at[static_cast<size_t>(Axis::n)] = s.small();
  at[static_cast<size_t>(Axis::k)] = s.k;
  at[static_cast<size_t>(Axis::batch)] = s.batch;
  at[static_cast<size_t>(Axis::side)] = s.weights_in_a() ? 0 : 1;
  return at;
}

size_t layout(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  return size_t{!s.contiguous()} * 6 + size_t{s.ta} * 3 + (s.packed ? 2 : size_t{s.tb});
}

Status validate(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  if (s.batch < 0 || s.m < 0 || s.k < 0 || s.n < 0)
    return fail(Code::invalid_argument, "matmul dimensions must be ≥ 0, got batch {} M {} K {} N {}", s.batch, s.m, s.k, s.n);
  if (s.packed && (s.batch != 1 || s.tb || s.ldb != 0 || s.batch_stride_b != 0))
    return fail(Code::invalid_argument, "packed weights are one matrix without transposition or strides, got batch {}{} ldb {}",
                s.batch, s.tb ? " transposed" : "", s.ldb);
  if (s.lda < (s.ta ? s.m : s.k) || (!s.packed && s.ldb < (s.tb ? s.k : s.n)) || s.ldc < s.n)
    return fail(Code::invalid_argument, "matmul leading dimensions must be ≥ the stored row, got lda {} ldb {} ldc {}", s.lda,
                s.ldb, s.ldc);
  if (s.batch_stride_a < 0 || s.batch_stride_b < 0 || s.batch_stride_c < 0)
    return fail(Code::invalid_argument, "matmul batch strides must be ≥ 0");
  if (s.batch > 1 && s.m > 0 && s.n > 0 && s.batch_stride_c == 0)
    return fail(Code::invalid_argument, "the matrices of a batch cannot share their output: batch_stride_c is 0");
  return {};
}

bool surely_addressable(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  // Three products of two sizes stay below 2⁶⁰ elements.
  return all_below<29>(s.batch, s.m, s.k, s.n, s.lda, s.ldb, s.ldc, s.batch_stride_a, s.batch_stride_b, s.batch_stride_c);
}

OperandBytes operand_bytes(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  const DType t = problem.dtype;
  // Sizes are below 2⁶¹ here or their product is too many anyway.
  const int64_t panel = s.packed && s.k < kMostBytes / kPanel / 2 ? panel_elements(t, s.k) : INT64_MAX / 2;
  const int64_t b = s.packed ? span_bytes({{ceil_div(s.n, kPanel), panel}}, s.k == 0 ? 0 : panel, t)
                             : span_bytes({{s.batch, s.batch_stride_b}, {s.tb ? s.n : s.k, s.ldb}}, s.tb ? s.k : s.n, t);
  return {span_bytes({{s.batch, s.batch_stride_a}, {s.ta ? s.k : s.m, s.lda}}, s.ta ? s.m : s.k, t), b, 0,
          span_bytes({{s.batch, s.batch_stride_c}, {s.m, s.ldc}}, s.n, problem.out_dtype)};
}

Work work(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  const auto in = static_cast<double>(size_of(problem.dtype)), out = static_cast<double>(size_of(problem.out_dtype));
  const auto b = static_cast<double>(s.batch), m = static_cast<double>(s.m), k = static_cast<double>(s.k),
             n = static_cast<double>(s.n);
  return {.operations = 2 * b * m * k * n,
          .flops = 2 * b * m * k * n,
          .bytes = b * (in * (m * k + k * n) + out * m * n * (s.beta == 0 ? 1 : 2))};
}

uint64_t hash(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  return hash_of(static_cast<uint64_t>(problem.dtype) + 8, s.batch, s.m, s.k, s.n, s.ta + 2 * s.tb + 4 * s.packed);
}

std::string unusual(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  MatmulShape usual = matmul_problem(s.m, s.k, s.n, s.ta, s.tb, s.batch).as<MatmulShape>();
  if (s.packed) make_packed(usual);
  Unusual differences;
  differences.add("lda", s.lda, usual.lda);
  differences.add("ldb", s.ldb, usual.ldb);
  differences.add("ldc", s.ldc, usual.ldc);
  if (s.batch == 1) return differences.text();
  differences.add("batch_stride_a", s.batch_stride_a, usual.batch_stride_a);
  differences.add("batch_stride_b", s.batch_stride_b, usual.batch_stride_b);
  differences.add("batch_stride_c", s.batch_stride_c, usual.batch_stride_c);
  return differences.text();
}

std::string print_label(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  std::string text = s.batch == 1 ? "" : fmt::format("batch{}_", s.batch);
  text += fmt::format("{}x{}x{}{}{}", s.m, s.k, s.n, s.ta ? "_ta" : "", s.packed ? "_packed" : s.tb ? "_tb" : "");
  if (s.alpha != 1 || s.beta != 0) text += fmt::format("_a{}_b{}", s.alpha, s.beta);
  return text;
}

Result<LabelPattern> scan_label(LabelScanner& scanner) {
  LabelPattern pattern;
  std::vector<int64_t> batch = {1};
  if (scanner.accept("batch")) {
    METALLIC_TRY(batch, scanner.integers());
    METALLIC_CHECK(scanner.expect("_"));
  }
  METALLIC_TRY(auto m, scanner.integers());
  METALLIC_CHECK(scanner.expect("x"));
  METALLIC_TRY(auto k, scanner.integers());
  METALLIC_CHECK(scanner.expect("x"));
  METALLIC_TRY(auto n, scanner.integers());
  const bool ta = scanner.accept("_ta");
  const bool tb = scanner.accept("_tb"), packed = !tb && scanner.accept("_packed");
  float alpha = 1, beta = 0;
  if (scanner.accept_before_number("_a")) {
    METALLIC_TRY(alpha, scanner.real());
    METALLIC_CHECK(scanner.expect("_b"));
    METALLIC_TRY(beta, scanner.real());
  }
  pattern.numbers = {batch, m, k, n};
  pattern.make = [=](const auto& v) {
    Problem problem = matmul_problem(v[1], v[2], v[3], ta, tb, v[0]);
    auto& made = problem.as<MatmulShape>();
    if (packed) make_packed(made);
    made.alpha = alpha;
    made.beta = beta;
    return problem;
  };
  return pattern;
}

Problem from_c(const metallic_problem& given) {
  const bool ta = given.transpose_a != 0, tb = given.transpose_b != 0;
  Problem problem = matmul_problem(given.m, given.k, given.n, ta, tb, given.batch == 0 ? 1 : given.batch);
  auto& s = problem.as<MatmulShape>();
  if (given.packed != 0) make_packed(s);
  s.alpha = given.alpha != 0 || (given.given & METALLIC_GIVEN_ALPHA) ? given.alpha : 1;
  s.beta = given.beta;
  const bool as_given = given.given & METALLIC_GIVEN_STRIDES;
  // The contiguous distance of matrices whose rows are padded includes the padding.
  const auto set = [&](int64_t row, int64_t matrix, int64_t rows, int64_t& ld, int64_t& batch_stride) {
    if (row != 0 || as_given) {
      ld = row;
      batch_stride = area(rows, row);
    }
    if (matrix != 0 || as_given) batch_stride = matrix;
  };
  set(given.lda, given.batch_stride_a, ta ? s.k : s.m, s.lda, s.batch_stride_a);
  if (!s.packed) set(given.ldb, given.batch_stride_b, tb ? s.n : s.k, s.ldb, s.batch_stride_b);
  set(given.ldc, given.batch_stride_c, s.m, s.ldc, s.batch_stride_c);
  return problem;
}

CKey c_key(const metallic_problem& p) {
  return CKey(p, p.batch, p.m, p.k, p.n, p.transpose_a, p.transpose_b, p.packed, p.alpha, p.beta, p.lda, p.ldb, p.ldc,
              p.batch_stride_a, p.batch_stride_b, p.batch_stride_c);
}

metallic_problem to_c(const Problem& problem) {
  const MatmulShape& s = shape(problem);
  metallic_problem filled{};
  filled.op = METALLIC_MATMUL;
  filled.batch = s.batch;
  filled.m = s.m;
  filled.k = s.k;
  filled.n = s.n;
  filled.transpose_a = s.ta;
  filled.transpose_b = s.tb;
  filled.packed = s.packed;
  filled.alpha = s.alpha;
  if (s.alpha == 0) filled.given = METALLIC_GIVEN_ALPHA;
  filled.beta = s.beta;
  return filled;
}

constexpr std::array<std::string_view, 12> kLayouts = {
    "nn", "nt", "np", "tn", "tt", "tp", "nn_strided", "nt_strided", "np_strided", "tn_strided", "tt_strided", "tp_strided"};
constexpr std::array kOwnAxes = {Axis::big, Axis::n, Axis::k, Axis::batch, Axis::side};
constexpr std::array kShortNames = {ShortName{"gemv"}, ShortName{.word = "mlx", .family = "gemm"}};

}  // namespace
}  // namespace matmul

constinit const Operation matmul_operation = {
    .name = "matmul",
    .order = METALLIC_MATMUL,
    .equal = [](const Shape& a, const Shape& b) { return a.as<MatmulShape>() == b.as<MatmulShape>(); },
    .layouts = matmul::kLayouts,
    .layout = matmul::layout,
    .axes = matmul::kOwnAxes,
    .axis_values = matmul::axis_values,
    .validate = matmul::validate,
    .surely_addressable = matmul::surely_addressable,
    .operand_bytes = matmul::operand_bytes,
    .work = matmul::work,
    .hash = matmul::hash,
    .reads_output = [](const Problem& problem) { return matmul::shape(problem).beta != 0; },
    .check_in_place = nullptr,
    .unusual = matmul::unusual,
    .writes_as_much_as_it_reads = false,
    .label = matmul::print_label,
    .owns_label = nullptr,
    .scan_label = matmul::scan_label,
    .label_examples = "4096x4096x8_tb",
    .from_c = matmul::from_c,
    .c_key = matmul::c_key,
    .to_c = matmul::to_c,
    .variants = matmul_variants,
    .variant_variable = "METALLIC_MATMUL_BACKEND",
    .variant_variable_help = "forces the matmul variant; mlx means the best rule of the GEMM family",
    .short_names = matmul::kShortNames,
    .limits = matmul::kLimits,
    .default_rules = matmul::default_rules,
    .canonical_orders = matmul::canonical_orders,
};

bool MatmulShape::contiguous() const {
  return lda == (ta ? m : k) && (packed || ldb == (tb ? k : n)) && ldc == n &&
         (batch == 1 || (batch_stride_a == m * k && batch_stride_b == k * n && batch_stride_c == m * n));
}

Problem matmul_problem(int64_t m, int64_t k, int64_t n, bool ta, bool tb, int64_t batch) {
  return {.shape = MatmulShape{.batch = batch,
                               .m = m,
                               .k = k,
                               .n = n,
                               .ta = ta,
                               .tb = tb,
                               .lda = ta ? m : k,
                               .ldb = tb ? k : n,
                               .ldc = n,
                               .batch_stride_a = area(m, k),
                               .batch_stride_b = area(k, n),
                               .batch_stride_c = area(m, n)}};
}

void make_packed(MatmulShape& matmul) {
  matmul.packed = true;
  matmul.tb = false;
  matmul.ldb = matmul.batch_stride_b = 0;
}

}  // namespace metallic
