// SPDX-License-Identifier: Apache-2.0
// The tuner's side of softmax.
#include "tuner/operation/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ops/element.h"
#include "ops/mask.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/shape.h"
#include "tuner/operations/thresholds.h"

namespace metallic {
namespace {

using validation::CaseBuilder;
using validation::Depth;
using validation::Values;

// The bound of an element e/S: x − max, scaled, is rounded, u·|x − max| relative in e each time, exp has 2 ULP, the sum of K
// terms in at least one lane and four accumulators or segments is within (K + 16)·u of its own terms' errors, then 1/S and a
// product.
template <typename In>
void expect_typed(const Problem& problem, const Args& args, size_t most, uint64_t seed, std::vector<ExpectedElement>& elements) {
  const SoftmaxShape& s = problem.as<SoftmaxShape>();
  for (const int64_t row : sampled_indices(s.rows(), most, seed)) {
    const In* in = static_cast<const In*>(args.in[0]) + row * s.in_stride;
    const auto x = [&](int64_t j) { return static_cast<double>(s.scale) * to_float(in[j]); };
    const int64_t visible = softmax::visible_keys(s, row);
    double max = -std::numeric_limits<double>::infinity(), sum = 0, distance = 0;
    for (int64_t j = 0; j < visible; ++j) max = std::fmax(max, x(j));
    // The difference to the maximum is rounded, and where it is scaled, once more.
    const auto error = [&](double at) { return (s.scale == 1 ? 1 : 2) * std::min(200.0, max - at); };
    for (int64_t j = 0; j < visible; ++j) {
      const double e = std::exp(x(j) - max);
      sum += e;
      if (e > 0) distance += e * error(x(j));
    }
    const double shared = distance / sum + static_cast<double>(visible) + 32;
    for (int64_t j = 0; j < s.seq_k; ++j) {
      ExpectedElement e = {row * s.seq_k + j, row * s.out_stride + j, 0, 0};
      if (j < visible) {
        e.value = std::exp(x(j) - max) / sum;
        if (e.value > 0) e.tolerance = e.value * kUnit * (shared + error(x(j)));
        e.tolerance += 0x1p-125;
      }
      elements.push_back(e);
    }
  }
}

void expect(const Problem& problem, const Args& args, const void*, size_t most, uint64_t seed,
            std::vector<ExpectedElement>& elements) {
  with_type(problem.dtype, [&]<typename In>(In) { expect_typed<In>(problem, args, most, seed, elements); });
}

std::string coordinates(const Problem& problem, int64_t logical) {
  const int64_t seq_k = problem.as<SoftmaxShape>().seq_k;
  return fmt::format("row {} key {}", logical / seq_k, logical % seq_k);
}

// Around the vector lengths of every ISA (4, 8, 16 floats; 8, 16, 32 halves) and their multiples.
constexpr int64_t kEdges[] = {0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 129, 255, 257};

Problem causal_softmax(int64_t batch, int64_t seq_q, int64_t seq_k, int64_t offset) {
  Problem problem = softmax_problem(batch, seq_q, seq_k);
  make_causal(problem.as<SoftmaxShape>(), offset);
  return problem;
}

template <typename Change>
Problem changed_softmax(Problem problem, const Change& change) {
  change(problem.as<SoftmaxShape>());
  return problem;
}

void add_cases(CaseBuilder& to, Depth depth) {
  const bool full = depth == Depth::full;
  for (const int64_t rows : {0, 1, 2, 5})
    for (const int64_t seq_k : kEdges)
      if (full || rows == 2) to.add(softmax_problem(rows, seq_k), full ? 3 : 1);
  for (const int64_t seq_k : {1023, 1024, 1025, 4095, 4097, 20000})
    if (full || seq_k == 1025 || seq_k == 20000) to.add(softmax_problem(7, seq_k), 3);
  // One long row, shared among threads.
  for (const int threads : {1, 2, 4})
    if (full || threads == 4) {
      to.add(softmax_problem(1, 40001), threads, Values::wide);
      if (full) to.add(softmax_problem(3, 17000), threads);
    }
  for (const Values values : {Values::wide, Values::denormal, Values::overflowing, Values::some_minus_infinity,
                              Values::all_minus_infinity, Values::infinity, Values::nan, Values::equal})
    for (const int64_t seq_k : {1, 3, 16, 65, 1500, 9000})
      if (full || seq_k == 65 || seq_k == 9000) to.add(softmax_problem(4, seq_k), 2, values);
  for (const int64_t seq_k : {1, 17, 64, 5000})
    for (const int64_t offset : {int64_t{-40}, int64_t{-1}, int64_t{0}, seq_k - 33, seq_k, int64_t{1} << 48})
      if (full || seq_k == 64) to.add(causal_softmax(2, 33, seq_k, offset), 2);
  for (const int64_t seq_k : {1, 15, 64, 4100})
    if (full || seq_k == 15)
      to.add(
          changed_softmax(softmax_problem(5, seq_k), [&](SoftmaxShape& s) { s.in_stride = seq_k + 3, s.out_stride = seq_k + 5; }),
          2);
  for (const float scale : {0.125f, 3.0f})
    for (const int64_t seq_k : {5, 64, 5000})
      for (const Values values :
           {Values::random, Values::wide, Values::far, Values::some_minus_infinity, Values::all_minus_infinity})
        if (full || seq_k == 64)
          to.add(changed_softmax(softmax_problem(3, seq_k), [&](SoftmaxShape& s) { s.scale = scale; }), 2, values);
  if (to.can_run_in_place())
    for (const int64_t seq_k : {1, 33, 5001}) {
      to.add(softmax_problem(3, seq_k), 2, Values::random, /*in_place=*/true);
      if (full) to.add(causal_softmax(2, 7, seq_k, 3), 2, Values::random, /*in_place=*/true);
    }
  // Rows that are 2³⁰ elements apart: offsets beyond 32 bits in elements and bytes, on memory that is never backed.
  // So large an output is written past the caches, whole rows and rows of which a mask hides more or less.
  const auto far_apart = [](SoftmaxShape& s) { s.in_stride = int64_t{1} << 30, s.out_stride = (int64_t{1} << 30) + 1; };
  if (full) to.add(changed_softmax(softmax_problem(5, 129), far_apart), 2);
  if (full)
    for (const int64_t offset : {-2, 3, 200}) to.add(changed_softmax(causal_softmax(1, 9, 203, offset), far_apart), 2);
}

std::vector<StoredRow> stored_rows(const Problem& problem, size_t operand) {
  std::vector<StoredRow> rows;
  const auto& s = problem.as<SoftmaxShape>();
  if (operand == 0) add_rows({0, 0, s.in_stride}, 1, 1, s.rows(), s.seq_k, rows);
  if (operand == kOut) add_rows({0, 0, s.out_stride}, 1, 1, s.rows(), s.seq_k, rows);
  return rows;
}

bool hidden(const Problem& problem, size_t operand, int64_t i, int64_t j) {
  const auto& s = problem.as<SoftmaxShape>();
  return operand == 0 && s.causal && j >= visible_keys(i % s.seq_q, s.seq_q, s.seq_k, true, s.offset);
}

void add_softmaxes(int random_count, const AddShape& add_shape, const LogUniform& random) {
  for (const int64_t rows : {1, 4, 16, 128, 1024})
    for (const int64_t seq_k : {16, 63, 65, 256, 1023, 4097, 16384, 65536}) add_shape(softmax_problem(rows, seq_k), "grid");
  for (int i = 0; i < random_count; ++i) add_shape(softmax_problem(random(1, 2048), random(16, 131072)), "drawn");
}

// Prefill of continued prompts: seq_q ≤ seq_k.
void add_causal_softmaxes(int random_count, const AddShape& add_shape, const LogUniform& random) {
  const auto add = [&](int64_t batch, int64_t seq_q, int64_t seq_k, const char* role) {
    Problem problem = softmax_problem(batch, seq_q, seq_k);
    make_causal(problem.as<SoftmaxShape>());
    add_shape(problem, role);
  };
  for (const int64_t batch : {1, 16})
    for (const int64_t seq_q : {4, 33, 128, 512})
      for (const int64_t seq_k : {64, 257, 1024, 4095})
        if (seq_q <= seq_k) add(batch, seq_q, seq_k, "grid");
  for (int i = 0; i < random_count; ++i) {
    const int64_t seq_q = random(4, 1024);
    add(random(1, 64), seq_q, random(static_cast<double>(seq_q), 8192), "drawn");
  }
}

void sample(const Problem& first, int random_count, const AddShape& add_shape, const LogUniform& random) {
  if (first.as<SoftmaxShape>().causal)
    add_causal_softmaxes(random_count / 4, add_shape, random);
  else
    add_softmaxes(random_count / 2, add_shape, random);
}

std::string held_fixed(const Problem& problem) {
  const auto& s = problem.as<SoftmaxShape>();
  return s.rank == 2 ? fmt::format("rows = {}", s.seq_q) : fmt::format("batch = {}, seq_q = {}", s.batch, s.seq_q);
}

std::optional<Problem> moved(const Problem& problem, int64_t seq_k) {
  Problem made = problem;
  auto& s = made.as<SoftmaxShape>();
  if (!s.contiguous()) return std::nullopt;
  s.seq_k = s.in_stride = s.out_stride = seq_k;
  return made;
}

}  // namespace

extern const TunerOperation softmax_tuner_operation = {
    .operation = &softmax_operation,
    .expect = expect,
    .coordinates = coordinates,
    .add_cases = add_cases,
    .stored_rows = stored_rows,
    .wide = [](size_t, double x) { return 88 * x; },
    .equal_value = -1e4,
    .nan_in_each_row = true,
    .hidden = hidden,
    .fill_padding = nullptr,
    .is_cold = [](const Problem&, size_t) { return true; },  // input and output
    .timed_warm = true,
    .terms = [](const Problem& problem) { return problem.as<SoftmaxShape>().seq_k; },
    .is_masked = [](const Problem& problem) { return problem.as<SoftmaxShape>().causal; },
    .sample = sample,
    .axes = {.first = Axis::seq_k, .parts = {}, .splits = {Axis::rows, Axis::elements}, .depth = 3},
    .curve = CurveFamilies{Axis::seq_k, "vec", "block"},
    .held_fixed = held_fixed,
    .moved = moved,
    .thresholds = tune::softmax_thresholds,
};

}  // namespace metallic
