// SPDX-License-Identifier: Apache-2.0
#include "tuner/verify/oracle.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "ops/element.h"
#include "tuner/operation/operation.h"

namespace metallic {
namespace {

// Is `got`, of this type, the expected value within its tolerance and the last rounding?
bool agrees(double got, const ExpectedElement& expected, DType dtype) {
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

}  // namespace

Expectation::Expectation(const Problem& problem, const Args& args, const void* c_before, size_t most, uint64_t seed)
    : problem_(problem) {
  tuner_operation(problem.op()).expect(problem, args, c_before, most, seed, elements_);
}

void Expectation::demand_exact() {
  for (ExpectedElement& e : elements_) e.tolerance = 0;
}

std::optional<std::string> Expectation::first_difference(const void* out) const {
  for (const ExpectedElement& e : elements_) {
    const double got = element(problem_.out_dtype, out, e.stored);
    if (!agrees(got, e, problem_.out_dtype))
      return fmt::format("{} is {}, expected {} ± {}", tuner_operation(problem_.op()).coordinates(problem_, e.logical), got,
                         e.value, e.tolerance);
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
