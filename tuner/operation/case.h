// SPDX-License-Identifier: Apache-2.0
// A case of the validation: a problem and the values of its operands.
#pragma once

#include <string_view>
#include <utility>
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

/// Collects cases for tensors of given types.
class CaseBuilder {
 public:
  CaseBuilder(DType dtype, DType out_dtype) : dtype_(dtype), out_dtype_(out_dtype) {}

  void add(Problem problem, int threads, Values values = Values::random, bool in_place = false) {
    problem.dtype = dtype_;
    problem.out_dtype = out_dtype_;
    problem.threads = threads;
    cases_.push_back({problem, values, in_place});
  }
  bool can_run_in_place() const { return dtype_ == out_dtype_; }
  std::vector<Case> take() { return std::move(cases_); }

 private:
  DType dtype_, out_dtype_;
  std::vector<Case> cases_;
};

}  // namespace metallic::validation
