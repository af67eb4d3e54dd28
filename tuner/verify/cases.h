// SPDX-License-Identifier: Apache-2.0
// The cases of the validation: shapes at every edge a kernel has, and the values that break kernels.
#pragma once

#include <vector>

#include "tuner/operation/case.h"

namespace metallic::validation {

/// The cases of an operation for tensors of these types, each with the thread counts it is for.
std::vector<Case> cases(Op op, DType dtype, DType out_dtype, Depth depth);

}  // namespace metallic::validation
