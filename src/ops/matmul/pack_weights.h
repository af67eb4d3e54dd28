// SPDX-License-Identifier: Apache-2.0
// Packs the weights of a matmul once for all of its runs, in the format of ops/matmul/packed.h.
#pragma once

#include <cstdint>

#include "base/executor.h"
#include "base/status.h"
#include "ops/problem.h"

namespace metallic::matmul {

/// The bytes of the packed B of a matmul, which only k, n and the type of the problem determine.
Result<int64_t> packed_bytes(const Problem& problem);

/// Packs B, which is stored as the problem says, into packed_bytes(problem) bytes; ignores m and A. Errors: the problem is not a
/// matmul, its batch is not 1, B is packed already, or a size is invalid.
Status pack_weights(const Problem& problem, const void* b, void* packed, Executor& executor);

}  // namespace metallic::matmul
