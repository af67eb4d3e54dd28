// The cases of the validation: shapes at every edge a kernel has, and the values that break kernels.
#pragma once

#include <string_view>
#include <vector>

#include "ops/problem.h"

namespace metallic::validation {

/// What the operands hold. All values are finite and in [−1, 1) but for what is said.
enum class Values : unsigned char {
  random,
  wide,                 ///< up to ±88 in a softmax, ±30 in the queries of an sdpa, ±1000 in a matmul
  denormal,             ///< scaled down to where f32 and the storage have few bits left, or none
  far,                  ///< 1000 away from 0 in a softmax, so that scaling before subtracting would show
  overflowing,          ///< the largest numbers of both signs in a softmax, whose differences are infinite
  some_minus_infinity,  ///< a quarter of a softmax's keys
  all_minus_infinity,   ///< every key of a softmax
  infinity,             ///< one +∞ a row of a softmax; one in a matmul's A
  nan,                  ///< one NaN a row of a softmax; one in a matmul's A; one in an sdpa's first query
  equal,                ///< all the same
  integers,             ///< small whole numbers, on which a matmul is exact
};
std::string_view name(Values values);

struct Case {
  Problem problem;
  Values values = Values::random;
  bool in_place = false;
};

/// How much to look at: `quick` takes seconds and is what the tests run, `full` is every combination.
enum class Depth : unsigned char { quick, full };

/// The cases of an operation for tensors of these types, each with the thread counts it is for.
std::vector<Case> cases(Op op, DType dtype, DType out_dtype, Depth depth);

}  // namespace metallic::validation
