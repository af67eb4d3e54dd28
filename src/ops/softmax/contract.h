// SPDX-License-Identifier: Apache-2.0
// The contract of every softmax variant, and the helpers that the variants share.
//
// With x = scale·in, row i of the output is exp(x − max) / Σ exp(x − max) over the visible keys. Under a causal mask these are
// the keys j ≤ (i mod seq_q) + offset, otherwise all. Masked keys give 0, and a row without a visible key gives zeros. If all
// visible keys are −∞, or one is NaN or +∞, every visible key gives NaN (as in torch.softmax); libraries may spread NaN
// differently. Input and output may be the same memory if their types and strides are equal. Masked keys are not read. Arithmetic
// is f32 for every storage type, and the result is rounded once. The difference to the row's maximum is scaled, so scale·in may
// exceed the largest f32. Two inputs further apart than the largest f32 count as infinitely far apart for any scale.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/info.h"
#include "ops/mask.h"
#include "ops/problem.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {

/// The number of keys that row `row` of all rows sees; they are the first ones.
inline int64_t visible_keys(const SoftmaxShape& shape, int64_t row) {
  return metallic::visible_keys(row % std::max<int64_t>(1, shape.seq_q), shape.seq_q, shape.seq_k, shape.causal, shape.offset);
}

/// The cost of all rows before `row`, in visible keys. A masked key is only written. That takes two fifths of a visible key's
/// time in the last cache level, less in nearer levels, and half in memory.
inline double work_before(const SoftmaxShape& shape, int64_t row) {
  const int64_t queries = std::max<int64_t>(1, shape.seq_q);
  // Keys that the first `count` queries see: from query `first` on 1, 2, 3 …, from query `full` on all.
  const auto visible_before = [&](int64_t count) {
    if (!shape.causal) return static_cast<double>(count) * static_cast<double>(shape.seq_k);
    const int64_t first = std::clamp<int64_t>(-shape.offset, 0, count);
    const int64_t full = std::clamp<int64_t>(shape.seq_k - 1 - shape.offset, first, count);
    const double growing = static_cast<double>(full - first) * static_cast<double>(first + full + 1 + 2 * shape.offset) / 2;
    return growing + static_cast<double>(count - full) * static_cast<double>(shape.seq_k);
  };
  const int64_t whole_batches = row / queries;
  const auto batches = static_cast<double>(whole_batches);
  const double visible = batches * visible_before(queries) + visible_before(row % queries);
  return 0.6 * visible + 0.4 * static_cast<double>(row) * static_cast<double>(shape.seq_k);
}

/// Elements per nanosecond on one thread, in cache (Zen 4 at 2.6 GHz, f32: 2.7 for 64 keys, 3.8 for 4096).
inline constexpr double kPerNs = 3.5;

/// Whether non-temporal stores write the output, which saves reading it first: if input and output exceed twice the last cache
/// level. A smaller output stays in cache for its reader. The order of sums does not depend on it.
inline bool streams(const Problem& problem, const DeviceInfo& device) {
  const auto bytes = operand_bytes(problem);
  return bytes[0] + bytes[kOut] > 2 * device.cpu().llc_bytes;
}

}  // namespace metallic::softmax
