// SPDX-License-Identifier: Apache-2.0
// The tuner's side of matmul.
#include "tuner/operation/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/packed.h"
#include "ops/matmul/shape.h"
#include "tuner/operations/thresholds.h"

namespace metallic {
namespace {

using validation::CaseBuilder;
using validation::Depth;
using validation::Values;

template <typename In>
void expect_typed(const Problem& problem, const Args& args, const void* before, size_t most, uint64_t seed,
                  std::vector<ExpectedElement>& elements) {
  const MatmulShape& s = problem.as<MatmulShape>();
  for (const int64_t index : sampled_indices(s.batch * s.m * s.n, most, seed)) {
    const int64_t batch = index / (s.m * s.n), i = index / s.n % s.m, j = index % s.n;
    const auto a = matmul::operand_a<In>(s, args.in[0], batch);
    const matmul::ElementsOfB<In> b(s, problem.dtype, args.in[1], batch);
    double sum = 0, absolute = 0, flushed = 0;
    for (int64_t k = 0; k < s.k; ++k) {
      const double x = to_float(a.at(i, k)), y = to_float(b.at(k, j));
      sum += x * y;
      absolute += std::abs(x * y);
      flushed += problem.dtype == DType::bf16 ? 0x1p-126 * (std::abs(x) + std::abs(y) + 1) : 0;
    }
    const int64_t at = batch * s.batch_stride_c + i * s.ldc + j;
    const double kept = s.beta == 0 ? 0 : static_cast<double>(s.beta) * element(problem.out_dtype, before, at);
    elements.push_back(
        {index, at, s.alpha * sum + kept,
         std::abs(s.alpha) * ((2 * gamma(s.k) + 4 * kUnit) * absolute + flushed) + 4 * kUnit * std::abs(kept) + 0x1p-140});
  }
}

void expect(const Problem& problem, const Args& args, const void* before, size_t most, uint64_t seed,
            std::vector<ExpectedElement>& elements) {
  with_type(problem.dtype, [&]<typename In>(In) { expect_typed<In>(problem, args, before, most, seed, elements); });
}

std::string coordinates(const Problem& problem, int64_t logical) {
  const auto& s = problem.as<MatmulShape>();
  return fmt::format("batch {} C[{},{}]", logical / (s.m * s.n), logical / s.n % s.m, logical % s.n);
}

template <typename Change>
Problem changed_matmul(Problem problem, const Change& change) {
  change(problem.as<MatmulShape>());
  return problem;
}

void add_packed_cases(CaseBuilder& to, Depth depth) {
  const bool full = depth == Depth::full;
  const auto packed = [](int64_t m, int64_t k, int64_t n, bool ta = false) {
    return changed_matmul(matmul_problem(m, k, n, ta), make_packed);
  };
  for (const bool ta : {false, true})
    for (const int64_t m : {0, 1, 2, 5, 14, 16, 17, 33, 70})
      for (const int64_t n : {0, 1, 15, 16, 31, 32, 33, 65, 100})
        for (const int64_t k : {0, 1, 2, 3, 17, 31, 33, 64})
          if (full || ((m == 5 || m == 33) && (n == 33 || n == 100) && (k == 3 || k == 33))) to.add(packed(m, k, n, ta), 2);
  // Over several blocks of K, columns and rows.
  for (const auto& [m, k, n] : {std::array{1, 2100, 70}, {40, 1031, 130}, {300, 1025, 90}})
    if (full || m == 40) to.add(packed(m, k, n), 3);
  for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {0.0f, 1.5f}})
    for (const int64_t k : {0, 1, 70})
      to.add(changed_matmul(packed(37, k, 45), [&](MatmulShape& s) { s.alpha = alpha, s.beta = beta, s.lda += 3, s.ldc += 5; }),
             3);
  for (const Values values : {Values::integers, Values::wide, Values::denormal, Values::nan, Values::infinity}) {
    to.add(packed(16, 1000, 40), 2, values);
    if (full) to.add(packed(70, 1000, 90), 2, values);
  }
}

void add_cases(CaseBuilder& to, Depth depth) {
  const bool full = depth == Depth::full;
  add_packed_cases(to, depth);
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      for (const int64_t small : {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17})
        for (const int64_t big : {1, 15, 16, 33, 65})
          for (const int64_t k : {0, 1, 3, 17, 64}) {
            const bool chosen = (small == 3 || small == 16) && (big == 33 || big == 65) && (k == 1 || k == 17);
            if (!full && !chosen) continue;
            to.add(matmul_problem(big, k, small, ta, tb), 2);
            to.add(matmul_problem(small, k, big, ta, tb), 2);
          }
      for (const auto& [m, k, n] :
           {std::array{129, 300, 127}, {64, 513, 33}, {31, 257, 300}, {1, 1000, 2}, {300, 2, 1}, {5, 4099, 3}})
        if (full || m == 64 || m == 5) to.add(matmul_problem(m, k, n, ta, tb), 2);
      for (const auto& [m, k, n] : {std::array{33, 47, 4}, {3, 47, 50}, {70, 33, 40}})
        for (const bool shared : {false, true})  // one B for all matrices
          if (full || (m == 70) == shared)
            to.add(changed_matmul(matmul_problem(m, k, n, ta, tb, 3),
                                  [&](MatmulShape& s) {
                                    s.lda += 3;
                                    s.ldb += 5;
                                    s.ldc += 1;
                                    s.batch_stride_a = (s.ta ? s.k : s.m) * s.lda + 7;
                                    s.batch_stride_b = shared ? 0 : (s.tb ? s.n : s.k) * s.ldb;
                                    s.batch_stride_c = s.m * s.ldc + 2;
                                  }),
                   2);
    }
  for (const auto& [alpha, beta] : {std::array{2.0f, 0.0f}, {-0.5f, 1.0f}, {1.0f, 0.25f}, {0.0f, 1.5f}})
    for (const auto& [m, k, n] : {std::array{37, 70, 5}, {5, 70, 37}, {70, 0, 9}, {90, 40, 65}})
      to.add(changed_matmul(matmul_problem(m, k, n, false, m < n), [&](MatmulShape& s) { s.alpha = alpha, s.beta = beta; }), 3);
  for (const auto& [m, k, n] : {std::array{40, 1000, 16}, {16, 1000, 40}, {100, 700, 90}})
    for (const bool tb : {false, true}) {
      to.add(matmul_problem(m, k, n, false, tb), 2, Values::integers);
      if (full || !tb) {
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::wide);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::denormal);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::nan);
        to.add(matmul_problem(m, k, n, false, tb), 2, Values::infinity);
      }
    }
  if (!full) return;
  // More than 2³¹ elements from end to end: rows 2³⁰ and matrices 2³³ elements apart, on memory that is never backed.
  for (const int64_t n : {3, 40})
    to.add(changed_matmul(matmul_problem(5, 70, n, false, true, 2),
                          [](MatmulShape& s) {
                            s.lda = s.ldb = s.ldc = int64_t{1} << 30;
                            s.batch_stride_a = s.batch_stride_c = int64_t{1} << 33;
                            s.batch_stride_b = 0;
                          }),
           2);
}

std::vector<StoredRow> stored_rows(const Problem& problem, size_t operand) {
  std::vector<StoredRow> rows;
  const auto& s = problem.as<MatmulShape>();
  // Matrices with stride 0 are one.
  const auto distinct = [&](int64_t stride) { return stride == 0 ? std::min<int64_t>(1, s.batch) : s.batch; };
  if (operand == 0)
    add_rows({s.batch_stride_a, 0, s.lda}, distinct(s.batch_stride_a), 1, s.ta ? s.k : s.m, s.ta ? s.m : s.k, rows);
  if (operand == 1 && s.packed)
    rows.push_back({0, operand_bytes(problem)[1] / static_cast<int64_t>(size_of(problem.dtype)), 0});
  else if (operand == 1)
    add_rows({s.batch_stride_b, 0, s.ldb}, distinct(s.batch_stride_b), 1, s.tb ? s.n : s.k, s.tb ? s.k : s.n, rows);
  if (operand == kOut) add_rows({s.batch_stride_c, 0, s.ldc}, s.batch, 1, s.m, s.n, rows);
  return rows;
}

// Packed weights have zeros after the last of K, and columns that no result depends on.
void fill_padding(const Problem& problem, size_t operand, std::byte* memory) {
  const auto& s = problem.as<MatmulShape>();
  if (operand != 1 || !s.packed) return;
  for (int64_t k = 0; k < packed_k(problem.dtype, s.k); ++k)
    for (int64_t j = 0; j < (s.n + kPanel - 1) / kPanel * kPanel; ++j)
      if (k >= s.k || j >= s.n)
        set_element(problem.dtype, memory, packed_index(problem.dtype, s.k, k, j),
                    k < s.k ? std::numeric_limits<double>::quiet_NaN() : 0);
}

// Engines use two orientations: weights first, and activations times transposed weights. The two others get fewer shapes.
void add_matmuls(int random_count, const AddShape& add_shape, const LogUniform& random) {
  struct Orientation {
    bool weights_in_b, transposed, usual;
  };
  for (const Orientation orientation :
       {Orientation{false, false, true}, {true, true, true}, {true, false, false}, {false, true, false}}) {
    const auto add = [&](int64_t big, int64_t k, int64_t n, const char* role) {
      add_shape(orientation.weights_in_b ? matmul_problem(n, k, big, false, orientation.transposed)
                                         : matmul_problem(big, k, n, false, orientation.transposed),
                role);
    };
    // A small grid: many random values of big and k, each with some n, show more.
    for (const int64_t big : {64, 512, 4096})
      for (const int64_t k : {64, 512, 4096})
        for (const int64_t n : {1, 4, 16, 64})
          if (orientation.usual && n < big) add(big, k, n, "grid");
    for (const int64_t size : {512, 4096})
      for (const int64_t n : {2, 3, 5, 8, 9, 15, 17, 32, 192})
        if (orientation.usual) add(size, size, n, "grid");
    for (int i = 0; i < (orientation.usual ? random_count : random_count / 2); ++i) {
      const int64_t big = random(32, 8192), n = random(1, 256);
      add(std::max(big, n + 1), random(32, 8192), std::min(n, big), "drawn");
    }
  }
}

std::string held_fixed(const Problem& problem) {
  const auto& s = problem.as<MatmulShape>();
  return fmt::format("big = {}, k = {}, weights in {}{}", s.big(), s.k, s.weights_in_a() ? 'A' : 'B',
                     s.batch == 1 ? "" : fmt::format(", batch = {}", s.batch));
}

std::optional<Problem> moved(const Problem& problem, int64_t n) {
  Problem made = problem;
  const auto& s = problem.as<MatmulShape>();
  if (!s.contiguous() || s.m == s.n || n >= s.big()) return std::nullopt;
  made.shape = matmul_problem(s.m < s.n ? n : s.m, s.k, s.m < s.n ? s.n : n, s.ta, s.tb, s.batch).shape;
  auto& changed = made.as<MatmulShape>();
  if (s.packed) make_packed(changed);
  changed.alpha = s.alpha;
  changed.beta = s.beta;
  return made;
}

}  // namespace

extern const TunerOperation matmul_tuner_operation = {
    .operation = &matmul_operation,
    .expect = expect,
    .coordinates = coordinates,
    .add_cases = add_cases,
    .stored_rows = stored_rows,
    .wide = [](size_t, double x) { return 1000 * x; },
    .equal_value = 0.5,
    .nan_in_each_row = false,
    .hidden = nullptr,
    .fill_padding = fill_padding,
    .is_cold = [](const Problem& p, size_t operand) { return operand == (p.as<MatmulShape>().weights_in_a() ? 0 : 1); },
    .timed_warm = false,
    .terms = [](const Problem& problem) { return problem.as<MatmulShape>().k; },
    .is_masked = [](const Problem&) { return false; },
    .sample = [](const Problem&, int random_count, const AddShape& add_shape,
                 const LogUniform& random) { add_matmuls(random_count, add_shape, random); },
    .axes = {.first = Axis::n, .parts = Axis::side, .splits = {Axis::big, Axis::k}, .depth = 4},
    .curve = CurveFamilies{Axis::n, "gemv", "gemm"},
    .held_fixed = held_fixed,
    .moved = moved,
    .thresholds = tune::matmul_thresholds,
};

}  // namespace metallic
