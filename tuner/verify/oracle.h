// SPDX-License-Identifier: Apache-2.0
// The oracle: is a result right? Compares outputs with the definition in double precision, each element against the
// error bound that its own operands imply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ops/problem.h"
#include "ops/variant.h"
#include "tuner/operation/expected.h"

namespace metallic {

/// What a run must leave in its output: values in double precision, each with its bound. Made from the inputs before a run, it
/// serves for runs in place, and for many runs on equal inputs.
class Expectation {
 public:
  /// `c_before` is what C holds before a matmul with beta ≠ 0, in the output's type, else null. At most `most` elements
  /// (softmax and sdpa: rows) are looked at, chosen by `seed`; all where there are fewer. Bounds: src/ops/<op>/contract.h.
  Expectation(const Problem& problem, const Args& args, const void* c_before, size_t most = SIZE_MAX, uint64_t seed = 0);

  /// From now on results must be the exact values, rounded once to the output's type: for operands on which f32 makes no error.
  void demand_exact();

  /// The first element of `out` outside its bound, in words, or nothing.
  std::optional<std::string> first_difference(const void* out) const;

 private:
  Problem problem_;
  std::vector<ExpectedElement> elements_;
};

/// The same for one run that was not in place.
std::optional<std::string> first_difference(const Problem& problem, const Args& args, const void* c_before,
                                            size_t most = SIZE_MAX, uint64_t seed = 0);

/// Uniform random numbers in [−1, 1), rounded to the type, reproducible by seed. (The distributions of the standard library
/// differ between implementations; this one does not.)
void fill_random(DType dtype, void* values, size_t count, uint64_t seed);

}  // namespace metallic
