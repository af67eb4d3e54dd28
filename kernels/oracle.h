// The oracle: is a result right? Compares outputs with the definition in double precision, each element against the
// error bound that its own operands imply.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/problem.h"
#include "core/variant.h"

namespace metallic {

/// The first element of `args.out` outside its bound, in words, or nothing. `c_before` is what C held before a matmul
/// with beta ≠ 0, in the output's type, else null. At most `most` elements (softmax and sdpa: rows) are looked at, chosen by
/// `seed`; all where there are fewer. Bounds: kernels/<op>/contract.h. An in-place softmax cannot be checked: its input is gone.
std::optional<std::string> first_difference(const Problem& problem, const Args& args, const void* c_before,
                                            size_t most = SIZE_MAX, uint64_t seed = 0);

/// Uniform random numbers in [−1, 1), rounded to the type, reproducible by seed. (The distributions of the standard library
/// differ between implementations; this one does not.)
void fill_random(DType dtype, void* values, size_t count, uint64_t seed);

}  // namespace metallic
