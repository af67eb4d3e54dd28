// SPDX-License-Identifier: Apache-2.0
// An operation of tests: rows of numbers times a factor.
#pragma once

#include <cstdint>

#include "ops/problem.h"

namespace metallic {

extern const Operation scale_operation;

/// out[i,j] = 3·in[i,j] for rows × n elements, contiguous.
struct ScaleShape {
  static const Operation& operation() { return scale_operation; }

  int64_t rows = 0;
  int64_t n = 0;

  bool operator==(const ScaleShape&) const = default;
};

Problem scale_problem(int64_t rows, int64_t n);

}  // namespace metallic
