// Packs the weights of a matmul once for all of its runs: what a problem with packed weights takes for B (ops/packed.h).
#pragma once

#include <cstdint>

#include "base/executor.h"
#include "ops/problem.h"
#include "base/status.h"

namespace metallic::matmul {

/// Bytes that B of a matmul takes once it is packed. Of the problem only k, n and the type are looked at.
Result<int64_t> packed_bytes(const Problem& problem);

/// Packs B, which lies as the problem says (its m and A are not looked at), into packed_bytes(problem) bytes. Errors: no matmul,
/// a batch other than 1, a B that is packed already, sizes that are none.
Status pack_weights(const Problem& problem, const void* b, void* packed, Executor& executor);

}  // namespace metallic::matmul
