#include "kernels/oracle.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/matmul/contract.h"
#include "kernels/softmax/contract.h"

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

bool agrees(double got, double expected, double tolerance) {
  if (std::isnan(expected) || std::isnan(got)) return std::isnan(expected) && std::isnan(got);
  if (std::isinf(expected)) return got == expected;
  return std::abs(got - expected) <= tolerance;
}

std::string describe(const std::string& where, double got, double expected, double tolerance) {
  return fmt::format("{} is {}, expected {} ± {}", where, got, expected, tolerance);
}

// The bound of an element e/S: x − max is rounded (u·|x − max| relative in e), exp has 2 ULP, the sum of K terms in at
// least one lane and four accumulators or segments is within (K + 16)·u of its own terms' errors, then 1/S and a product.
std::optional<std::string> softmax_difference(const SoftmaxShape& s, const Args& args, size_t most, uint64_t seed) {
  for (const int64_t row : chosen(s.rows(), most, seed)) {
    const float* x = static_cast<const float*>(args.in[0]) + row * s.in_stride;
    const float* y = static_cast<const float*>(args.out) + row * s.out_stride;
    const int64_t visible = softmax::visible_keys(s, row);
    double max = -std::numeric_limits<double>::infinity(), sum = 0, distance = 0;
    for (int64_t j = 0; j < visible; ++j) max = std::fmax(max, x[j]);
    for (int64_t j = 0; j < visible; ++j) {
      const double e = std::exp(x[j] - max);
      sum += e;
      if (e > 0) distance += e * (max - x[j]);
    }
    const double shared = distance / sum + static_cast<double>(visible) + 32;
    for (int64_t j = 0; j < s.seq_k; ++j) {
      const double expected = j < visible ? std::exp(x[j] - max) / sum : 0;
      const double tolerance = j < visible ? expected * kUnit * (shared + std::min(200.0, max - x[j])) + 0x1p-125 : 0;
      if (!agrees(y[j], expected, tolerance)) return describe(fmt::format("row {} key {}", row, j), y[j], expected, tolerance);
    }
  }
  return std::nullopt;
}

std::optional<std::string> matmul_difference(const MatmulShape& s, const Args& args, const float* c_before, size_t most,
                                             uint64_t seed) {
  const double gamma = static_cast<double>(s.k) * kUnit / (1 - static_cast<double>(s.k) * kUnit);
  for (const int64_t element : chosen(s.batch * s.m * s.n, most, seed)) {
    const int64_t batch = element / (s.m * s.n), i = element / s.n % s.m, j = element % s.n;
    const auto a = matmul::operand_a(s, args.in[0], batch), b = matmul::operand_b(s, args.in[1], batch);
    double sum = 0, absolute = 0;
    for (int64_t k = 0; k < s.k; ++k) {
      const double term = static_cast<double>(a.data[i * a.row + k * a.column]) * b.data[k * b.row + j * b.column];
      sum += term;
      absolute += std::abs(term);
    }
    const int64_t at = batch * s.batch_stride_c + i * s.ldc + j;
    const double kept = s.beta == 0 ? 0 : static_cast<double>(s.beta) * c_before[at];
    const double expected = s.alpha * sum + kept;
    const double tolerance = (2 * gamma + 4 * kUnit) * std::abs(s.alpha) * absolute + 4 * kUnit * std::abs(kept) + 0x1p-140;
    const double got = static_cast<const float*>(args.out)[at];
    if (!agrees(got, expected, tolerance))
      return describe(fmt::format("batch {} C[{},{}]", batch, i, j), got, expected, tolerance);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> first_difference(const Problem& problem, const Args& args, const float* c_before, size_t most,
                                            uint64_t seed) {
  return problem.op() == Op::softmax ? softmax_difference(problem.softmax(), args, most, seed)
                                     : matmul_difference(problem.matmul(), args, c_before, most, seed);
}

void fill_random(float* values, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  // Two floats from each draw: their 24 upper bits each, as multiples of 2⁻²³ around 0.
  for (size_t i = 0; i < count; i += 2) {
    const uint64_t bits = random();
    values[i] = static_cast<float>(static_cast<int32_t>(bits >> 40) - (1 << 23)) * 0x1p-23f;
    if (i + 1 < count) values[i + 1] = static_cast<float>(static_cast<int32_t>(bits & 0xffffff) - (1 << 23)) * 0x1p-23f;
  }
}

}  // namespace metallic
