#include "tuner/verify/oracle.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "ops/element.h"
#include "ops/matmul/contract.h"
#include "ops/sdpa/contract.h"
#include "ops/softmax/contract.h"

namespace metallic {
namespace {

constexpr double kUnit = 0x1p-24;  // unit roundoff of f32

// Which of `count` units to look at: all, or `most` of them at random, the first and the last always among them.
std::vector<int64_t> chosen(int64_t count, size_t most, uint64_t seed) {
  std::vector<int64_t> indices;
  if (count <= 0) return indices;
  if (static_cast<uint64_t>(count) <= most) {
    for (int64_t i = 0; i < count; ++i) indices.push_back(i);
    return indices;
  }
  std::mt19937_64 random(seed);
  indices = {0, count - 1};
  while (indices.size() < most) indices.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(count)));
  return indices;
}

using Elements = std::vector<Expectation::Element>;

// Is `got`, of this type, the expected value within its tolerance and the last rounding?
bool agrees(double got, const Expectation::Element& expected, DType dtype) {
  const double value = expected.value, tolerance = expected.tolerance;
  if (std::isnan(value) || std::isnan(got)) return std::isnan(value) && std::isnan(got);
  if (tolerance == 0) return with_type(dtype, [&]<typename T>(T) { return got == to_float(from_double<T>(value)); });
  if (std::isinf(value)) return got == value;
  const double largest = dtype == DType::f16 ? 65504 : dtype == DType::bf16 ? 0x1.FEp127 : std::numeric_limits<float>::max();
  if (std::isinf(got)) return std::signbit(got) == std::signbit(value) && std::abs(value) + tolerance > largest;
  if (dtype == DType::f32) return std::abs(got - value) <= tolerance;
  const double tiny = dtype == DType::f16 ? 0x1p-25 : 0x1p-134;  // half the least number
  return std::abs(got - value) <= tolerance + 1.001 * unit_roundoff(dtype) * (std::abs(value) + tolerance) + tiny;
}

// The bound of an element e/S: x − max, scaled, is rounded, u·|x − max| relative in e each time, exp has 2 ULP, the sum of K
// terms in at least one lane and four accumulators or segments is within (K + 16)·u of its own terms' errors, then 1/S and a
// product.
template <typename In>
void expect_softmax(const Problem& problem, const Args& args, size_t most, uint64_t seed, Elements& elements) {
  const SoftmaxShape& s = problem.softmax();
  for (const int64_t row : chosen(s.rows(), most, seed)) {
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
      Expectation::Element e = {row * s.seq_k + j, row * s.out_stride + j, 0, 0};
      if (j < visible) {
        e.value = std::exp(x(j) - max) / sum;
        if (e.value > 0) e.tolerance = e.value * kUnit * (shared + error(x(j)));
        e.tolerance += 0x1p-125;
      }
      elements.push_back(e);
    }
  }
}

double gamma(int64_t terms) {
  const double error = static_cast<double>(terms) * kUnit;
  return error / (1 - error);
}

template <typename In>
void expect_matmul(const Problem& problem, const Args& args, const void* c_before, size_t most, uint64_t seed,
                   Elements& elements) {
  const MatmulShape& s = problem.matmul();
  for (const int64_t index : chosen(s.batch * s.m * s.n, most, seed)) {
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
    const double kept = s.beta == 0 ? 0 : static_cast<double>(s.beta) * element(problem.out_dtype, c_before, at);
    elements.push_back(
        {index, at, s.alpha * sum + kept,
         std::abs(s.alpha) * ((2 * gamma(s.k) + 4 * kUnit) * absolute + flushed) + 4 * kUnit * std::abs(kept) + 0x1p-140});
  }
}

template <typename In>
void expect_sdpa(const Problem& problem, const Args& args, size_t most, uint64_t seed, Elements& elements) {
  const SdpaShape& s = problem.sdpa();
  std::vector<double> weights(static_cast<size_t>(s.seq_k));
  const double rounded = problem.dtype == DType::f32 ? 0 : 2 * unit_roundoff(problem.dtype);  // of the weights, as stored
  const double flushed = problem.dtype == DType::f16 ? 0x1p-25 : 0x1p-125;
  for (const int64_t index : chosen(s.batch * s.heads * s.seq_q, most, seed)) {
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

// An element of the output by its coordinates.
std::string coordinates(const Problem& problem, int64_t logical) {
  switch (problem.op()) {
    case Op::softmax: {
      const int64_t seq_k = problem.softmax().seq_k;
      return fmt::format("row {} key {}", logical / seq_k, logical % seq_k);
    }
    case Op::matmul: {
      const auto& s = problem.matmul();
      return fmt::format("batch {} C[{},{}]", logical / (s.m * s.n), logical / s.n % s.m, logical % s.n);
    }
    case Op::sdpa: break;
  }
  const auto& s = problem.sdpa();
  const int64_t row = logical / s.head_dim;
  return fmt::format("batch {} head {} query {} element {}", row / (s.heads * s.seq_q), row / s.seq_q % s.heads, row % s.seq_q,
                     logical % s.head_dim);
}

}  // namespace

Expectation::Expectation(const Problem& problem, const Args& args, const void* c_before, size_t most, uint64_t seed)
    : problem_(problem) {
  with_type(problem.dtype, [&]<typename In>(In) {
    switch (problem.op()) {
      case Op::softmax: return expect_softmax<In>(problem, args, most, seed, elements_);
      case Op::matmul: return expect_matmul<In>(problem, args, c_before, most, seed, elements_);
      case Op::sdpa: return expect_sdpa<In>(problem, args, most, seed, elements_);
    }
  });
}

void Expectation::demand_exact() {
  for (Element& e : elements_) e.tolerance = 0;
}

std::optional<std::string> Expectation::first_difference(const void* out) const {
  for (const Element& e : elements_) {
    const double got = element(problem_.out_dtype, out, e.stored);
    if (!agrees(got, e, problem_.out_dtype))
      return fmt::format("{} is {}, expected {} ± {}", coordinates(problem_, e.logical), got, e.value, e.tolerance);
  }
  return std::nullopt;
}

std::optional<std::string> first_difference(const Problem& problem, const Args& args, const void* c_before, size_t most,
                                            uint64_t seed) {
  return Expectation(problem, args, c_before, most, seed).first_difference(args.out);
}

void fill_random(DType dtype, void* values, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  with_type(dtype, [&]<typename T>(T) {
    T* to = static_cast<T*>(values);
    // Two numbers from each draw: 24 bits each, as multiples of 2⁻²³ around 0.
    for (size_t i = 0; i < count; i += 2) {
      const uint64_t bits = random();
      to[i] = from_double<T>((static_cast<int32_t>(bits >> 40) - (1 << 23)) * 0x1p-23);
      if (i + 1 < count) to[i + 1] = from_double<T>((static_cast<int32_t>(bits & 0xffffff) - (1 << 23)) * 0x1p-23);
    }
  });
}

}  // namespace metallic
