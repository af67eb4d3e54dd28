// What every softmax variant promises, and what all of them share.
//
// With x = scale·in, row i of the output is exp(x − max) / Σ exp(x − max) over the visible keys, those j ≤ (i mod seq_q) +
// offset under a causal mask and all otherwise; masked keys give 0, a row without a visible key gives zeros. An unmasked row of
// −∞, or one with a NaN or +∞ among its visible keys, gives NaN in all visible places (as torch.softmax); libraries
// spread NaN in their own way. Input and output may be
// the same memory with equal types and strides. Nothing behind the mask is read. Arithmetic is f32 whatever the storage, and the
// result is rounded once; what is scaled is the difference to the row's maximum, so scale·in may be too large for an f32, but
// two inputs further apart than the largest f32 count as infinitely far apart whatever the scale. Source of the crossover: the
// tuning guide.
#pragma once

#include <algorithm>
#include <cstdint>

#include "device/info.h"
#include "ops/problem.h"
#include "ops/variant.h"

namespace metallic::softmax {

/// How many keys row `row` of all rows sees: the first that many.
inline int64_t visible_keys(const SoftmaxShape& shape, int64_t row) {
  return metallic::visible_keys(row % std::max<int64_t>(1, shape.seq_q), shape.seq_q, shape.seq_k, shape.causal, shape.offset);
}

/// What the rows before row `row` cost, in visible keys; one behind the mask is only written: two fifths of the time in
/// the last cache level, less in nearer ones, half in memory.
inline double work_before(const SoftmaxShape& shape, int64_t row) {
  const int64_t queries = std::max<int64_t>(1, shape.seq_q);
  // Keys that the first `count` queries see: 1, 2, 3 … from query `first` on, all from query `full` on.
  const auto visible_before = [&](int64_t count) {
    if (!shape.causal) return static_cast<double>(count) * static_cast<double>(shape.seq_k);
    const int64_t first = std::clamp<int64_t>(-shape.offset, 0, count);
    const int64_t full = std::clamp<int64_t>(shape.seq_k - 1 - shape.offset, first, count);
    const double growing = static_cast<double>(full - first) * static_cast<double>(first + full + 1 + 2 * shape.offset) / 2;
    return growing + static_cast<double>(count - full) * static_cast<double>(shape.seq_k);
  };
  const auto batches = static_cast<double>(row / queries);
  const double visible = batches * visible_before(queries) + visible_before(row % queries);
  return 0.6 * visible + 0.4 * static_cast<double>(row) * static_cast<double>(shape.seq_k);
}

/// Elements in a nanosecond on one thread, in cache (Zen 4 at 2.6 GHz, f32: 2.7 for 64 keys, 3.8 for 4096).
inline constexpr double kPerNs = 3.5;

/// Whether the output is written past the caches, which saves reading it first: where input and output are more than twice the
/// last one. Below, whoever reads the output next finds it there. The order of sums does not depend on it.
inline bool streams(const Problem& problem, const DeviceInfo& device) {
  const auto bytes = operand_bytes(problem);
  return bytes[0] + bytes[kOut] > 2 * device.cpu().llc_bytes;
}

}  // namespace metallic::softmax
