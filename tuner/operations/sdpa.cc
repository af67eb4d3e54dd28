// SPDX-License-Identifier: Apache-2.0
// The tuner's side of sdpa.
#include "tuner/operation/operation.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "ops/element.h"
#include "ops/mask.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/shape.h"

namespace metallic {
namespace {

using validation::CaseBuilder;
using validation::Depth;
using validation::Values;

template <typename In>
void expect_typed(const Problem& problem, const Args& args, size_t most, uint64_t seed, std::vector<ExpectedElement>& elements) {
  const SdpaShape& s = problem.as<SdpaShape>();
  std::vector<double> weights(static_cast<size_t>(s.seq_k));
  const double rounded = problem.dtype == DType::f32 ? 0 : 2 * unit_roundoff(problem.dtype);  // of the weights, as stored
  const double flushed = problem.dtype == DType::f16 ? 0x1p-25 : 0x1p-125;
  for (const int64_t index : sampled_indices(s.batch * s.heads * s.seq_q, most, seed)) {
    const int64_t batch = index / (s.heads * s.seq_q), head = index / s.seq_q % s.heads, i = index % s.seq_q;
    const int64_t shared = head / s.group(), visible = sdpa::visible_keys(s, i);
    const In* q = static_cast<const In*>(args.in[0]) + sdpa::row_at(s.q, batch, head, i);
    const In* k = static_cast<const In*>(args.in[1]) + sdpa::row_at(s.k, batch, shared, 0);
    const In* v = static_cast<const In*>(args.in[2]) + sdpa::row_at(s.v, batch, shared, 0);
    double max = -std::numeric_limits<double>::infinity(), sum = 0, largest = 0;
    for (int64_t j = 0; j < visible; ++j) {
      double score = 0, absolute = 0;
      for (int64_t d = 0; d < s.head_dim; ++d) {
        const double term = static_cast<double>(to_float(q[d])) * to_float(k[j * s.k.row + d]);
        score += term;
        absolute += std::abs(term);
      }
      weights[static_cast<size_t>(j)] = static_cast<double>(s.scale) * score;
      largest = std::fmax(largest, s.scale * absolute);
      max = std::fmax(max, s.scale * score);
    }
    for (int64_t j = 0; j < visible; ++j) {
      double& weight = weights[static_cast<size_t>(j)];
      sum += weight = std::exp(weight - max);
    }
    const double relative =
        std::expm1(2 * (2 * gamma(s.head_dim) + 4 * kUnit) * largest) + (2 * static_cast<double>(visible) + 64) * kUnit + rounded;
    for (int64_t d = 0; d < s.head_dim; ++d) {
      double total = 0, absolute = 0, values = 0;
      for (int64_t j = 0; j < visible; ++j) {
        const double value = to_float(v[j * s.v.row + d]), term = weights[static_cast<size_t>(j)] / sum * value;
        total += term;
        absolute += std::abs(term);
        values += std::abs(value);
      }
      const double denormal = problem.dtype == DType::bf16 ? 0x1p-126 : 0;  // that a V of bf16 may lose, weights add up to 1
      elements.push_back({index * s.head_dim + d, sdpa::row_at(s.out, batch, head, i) + d, total,
                          relative * absolute + flushed * values + denormal + 0x1p-140});
    }
  }
}

void expect(const Problem& problem, const Args& args, const void*, size_t most, uint64_t seed,
            std::vector<ExpectedElement>& elements) {
  with_type(problem.dtype, [&]<typename In>(In) { expect_typed<In>(problem, args, most, seed, elements); });
}

std::string coordinates(const Problem& problem, int64_t logical) {
  const auto& s = problem.as<SdpaShape>();
  const int64_t row = logical / s.head_dim;
  return fmt::format("batch {} head {} query {} element {}", row / (s.heads * s.seq_q), row / s.seq_q % s.heads, row % s.seq_q,
                     logical % s.head_dim);
}

constexpr int64_t kFewEdges[] = {0, 1, 7, 16, 33, 65, 129};

struct SdpaCase {
  int64_t batch, heads, kv_heads, seq_q, seq_k, head_dim;
  std::optional<int64_t> offset;  // causal where there is one
};

Problem sdpa_of(const SdpaCase& c) {
  Problem problem = sdpa_problem(c.batch, c.heads, c.kv_heads, c.seq_q, c.seq_k, c.head_dim);
  if (c.offset) make_causal(problem.as<SdpaShape>(), *c.offset);
  return problem;
}

// Engines keep a cache as [batch, longest sequence, heads, head_dim] and queries as [batch, seq_q, heads, head_dim].
Problem interleaved(Problem problem) {
  auto& s = problem.as<SdpaShape>();
  const int64_t longest = s.seq_k + 3;
  s.q = s.out = {.batch = s.seq_q * s.heads * s.head_dim, .head = s.head_dim, .row = s.heads * s.head_dim};
  s.k = s.v = {.batch = longest * s.kv_heads * s.head_dim, .head = s.head_dim, .row = s.kv_heads * s.head_dim};
  return problem;
}

void add_cases(CaseBuilder& to, Depth depth) {
  const bool full = depth == Depth::full;
  const SdpaCase kShapes[] = {
      {1, 4, 4, 1, 1, 64, {}},      {2, 4, 2, 1, 65, 64, 64},    {1, 8, 2, 5, 129, 32, 124},  {2, 2, 1, 17, 17, 16, 0},
      {1, 3, 1, 33, 40, 80, 7},     {1, 4, 2, 7, 33, 128, {}},   {1, 2, 2, 3, 300, 1, {}},    {1, 2, 1, 4, 9, 7, -2},
      {1, 2, 2, 16, 1000, 64, 984}, {1, 1, 1, 2, 5000, 8, {}},   {3, 6, 3, 1, 257, 256, 256}, {2, 4, 2, 3, 40, 16, 20},
      {1, 2, 1, 1, 33, 16, 11},     {1, 2, 1, 70, 300, 24, 230},
  };
  for (const SdpaCase& c : kShapes)
    for (const int threads : {1, 3}) {
      if (!full && threads == 1) continue;
      to.add(sdpa_of(c), threads);
      to.add(interleaved(sdpa_of(c)), threads);
    }
  if (full)
    for (const int64_t seq_q : kFewEdges)
      for (const int64_t seq_k : kFewEdges)
        for (const int64_t head_dim : {0, 1, 7, 64}) {
          to.add(sdpa_of({1, 4, 2, seq_q, seq_k, head_dim, {}}), 2);
          to.add(sdpa_of({1, 4, 2, seq_q, seq_k, head_dim, seq_k - seq_q}), 2);
        }
  for (const Values values : {Values::wide, Values::nan, Values::denormal, Values::equal}) {
    to.add(sdpa_of({1, 4, 2, 5, 129, 64, 124}), 2, values);
    if (full) to.add(sdpa_of({2, 2, 2, 33, 65, 32, {}}), 2, values);
  }
  // No heads, no batch; queries that see nothing.
  to.add(sdpa_of({0, 4, 2, 5, 9, 16, {}}), 2);
  to.add(sdpa_of({1, 0, 0, 5, 9, 16, {}}), 2);
  to.add(sdpa_of({1, 4, 2, 5, 9, 16, -100}), 2);
}

std::vector<StoredRow> stored_rows(const Problem& problem, size_t operand) {
  std::vector<StoredRow> rows;
  const auto& s = problem.as<SdpaShape>();
  const auto add = [&](const HeadStrides& strides, int64_t heads, int64_t count) {
    add_rows({strides.batch, strides.head, strides.row}, s.batch, heads, count, s.head_dim, rows);
  };
  if (operand == 0) add(s.q, s.heads, s.seq_q);
  if (operand == 1) add(s.k, s.kv_heads, s.seq_k);
  if (operand == 2) add(s.v, s.kv_heads, s.seq_k);
  if (operand == kOut) add(s.out, s.heads, s.seq_q);
  return rows;
}

bool hidden(const Problem& problem, size_t operand, int64_t i, int64_t) {
  if (operand != 1 && operand != 2) return false;
  const auto& s = problem.as<SdpaShape>();
  return s.causal && s.seq_q > 0 && i >= visible_keys(s.seq_q - 1, s.seq_q, s.seq_k, true, s.offset);
}

// Decoding of several sequences, and prompts, with the heads of a given problem.
void add_sdpas(const SdpaShape& heads, int random_count, const AddShape& add_shape, const LogUniform& random) {
  const auto add = [&](int64_t batch, int64_t seq_q, int64_t seq_k, const char* role) {
    Problem problem = sdpa_problem(batch, heads.heads, heads.kv_heads, seq_q, seq_k, heads.head_dim);
    if (heads.causal) make_causal(problem.as<SdpaShape>());
    add_shape(problem, role);
  };
  for (const int64_t seq_q : {1, 4, 16, 64, 256})
    for (const int64_t seq_k : {64, 257, 1024, 4096})
      if (seq_q <= seq_k) add(1, seq_q, seq_k, "grid");
  for (int i = 0; i < random_count; ++i) {
    const int64_t seq_q = random(1, 512);
    add(seq_q < 16 ? random(1, 8) : 1, seq_q, random(static_cast<double>(std::max<int64_t>(seq_q, 32)), 8192), "drawn");
  }
}

std::string held_fixed(const Problem& problem) {
  const auto& s = problem.as<SdpaShape>();
  return fmt::format("batch = {}, heads = {}/{}, seq_q = {}, head_dim = {}", s.batch, s.heads, s.kv_heads, s.seq_q, s.head_dim);
}

std::optional<Problem> moved(const Problem& problem, int64_t seq_k) {
  Problem made = problem;
  const auto& s = problem.as<SdpaShape>();
  if (!s.contiguous()) return std::nullopt;
  made.shape = sdpa_problem(s.batch, s.heads, s.kv_heads, s.seq_q, seq_k, s.head_dim).shape;
  auto& changed = made.as<SdpaShape>();
  changed.scale = s.scale;
  if (s.causal) make_causal(changed);
  return made;
}

}  // namespace

extern const TunerOperation sdpa_tuner_operation = {
    .operation = &sdpa_operation,
    .expect = expect,
    .coordinates = coordinates,
    .add_cases = add_cases,
    .stored_rows = stored_rows,
    .wide = [](size_t operand, double x) { return operand == 0 ? 30 * x : x; },
    .equal_value = 0.5,
    .nan_in_each_row = false,
    .hidden = hidden,
    .fill_padding = nullptr,
    .is_cold = [](const Problem&, size_t operand) { return operand == 1 || operand == 2; },  // K and V
    .timed_warm = false,
    .terms = [](const Problem& p) { return p.as<SdpaShape>().seq_k * p.as<SdpaShape>().head_dim; },
    .is_masked = [](const Problem& problem) { return problem.as<SdpaShape>().causal; },
    .sample = [](const Problem& first, int random_count, const AddShape& add_shape,
                 const LogUniform& random) { add_sdpas(first.as<SdpaShape>(), random_count / 4, add_shape, random); },
    .axes = {.first = Axis::seq_k, .parts = {}, .splits = {Axis::seq_q, Axis::heads}, .depth = 2},
    .curve = {},  // no two families share its axis
    .held_fixed = held_fixed,
    .moved = moved,
    .thresholds = nullptr,
};

}  // namespace metallic
