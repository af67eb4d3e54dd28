// SPDX-License-Identifier: Apache-2.0
// Expected results: values in double precision with the error that each may have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace metallic {

struct ExpectedElement {
  int64_t logical;   ///< its place in a contiguous output
  int64_t stored;    ///< its place in memory
  double value;      ///< exact but for the rounding of double
  double tolerance;  ///< before the last rounding to the output's type
};

/// Unit roundoff of f32.
inline constexpr double kUnit = 0x1p-24;

/// The relative error of a sum of that many products in f32: n·u / (1 − n·u).
double gamma(int64_t terms);

/// Which of `count` results to look at: all, or `most` of them at random, always with the first and the last.
std::vector<int64_t> sampled_indices(int64_t count, size_t most, uint64_t seed);

}  // namespace metallic
