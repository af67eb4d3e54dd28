// SPDX-License-Identifier: Apache-2.0
// Softmax rows as the CUDA kernels see them: shape, mask, alignment, and chunks per row.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/cuda/online_softmax.cuh"
#include "ops/mask.h"
#include "ops/problem.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {

inline constexpr int64_t kMaxRows = int64_t{1} << 30;                  // row numbers fit an unsigned int
inline constexpr int64_t kMaxSliceElements = (int64_t{1} << 26) - 64;  // 32 times a position fits an int

struct SoftmaxRows {
  int64_t rows, seq_q, seq_k, offset, in_stride, out_stride;
  bool causal;
  cuda::Exponential exponential;

  explicit SoftmaxRows(const SoftmaxShape& s)
      : rows(s.rows()),
        seq_q(std::max<int64_t>(1, s.seq_q)),
        seq_k(s.seq_k),
        offset(std::clamp(s.offset, -s.seq_q - 1, s.seq_k)),  // beyond, no row sees more or fewer keys; avoids overflow
        in_stride(s.in_stride),
        out_stride(s.out_stride),
        causal(s.causal),
        exponential(s.scale) {}

  /// How many keys a row sees: the first that many.
  __device__ int64_t visible_keys(unsigned row) const {
    if (!causal) return seq_k;
    const int64_t keys = row % static_cast<unsigned>(seq_q) + offset + 1;
    return keys < 0 ? 0 : keys < seq_k ? keys : seq_k;
  }
};

/// How a kernel cuts rows into chunks. `aligned`: input, output and every row begin and end at multiples of 16 bytes, and there
/// is no mask. `any`: chunks begin at multiples of 16 bytes, rows anywhere. `fixed`: rows begin anywhere, and chunks begin with
/// the row, so that the reduction order does not depend on the row's address.
enum class RowAlignment : unsigned char { aligned, any, fixed };
inline constexpr int kRowAlignments = 3;

/// Whether the rows of a run are `aligned`.
inline bool rows_aligned(const Problem& problem, const Args& args) {
  const SoftmaxShape& s = problem.as<SoftmaxShape>();
  const auto in_size = static_cast<int64_t>(size_of(problem.dtype)), out_size = static_cast<int64_t>(size_of(problem.out_dtype));
  const auto addresses = reinterpret_cast<uintptr_t>(args.in[0]) | reinterpret_cast<uintptr_t>(args.out);
  return !s.causal && s.seq_k * in_size % 16 == 0 && s.in_stride * in_size % 16 == 0 && s.out_stride * out_size % 16 == 0 &&
         addresses % 16 == 0;
}

/// Input elements of a 16-byte chunk.
inline int64_t chunk_elements(const Problem& problem) { return 16 / static_cast<int64_t>(size_of(problem.dtype)); }

/// Whether all rows are aligned to 16 bytes if the first is.
inline bool stride_aligned(const Problem& problem) { return problem.as<SoftmaxShape>().in_stride % chunk_elements(problem) == 0; }

/// The chunks of a row that is aligned to 16 bytes, and the most that a row at any address needs.
inline int64_t min_row_chunks(const Problem& problem) {
  const int64_t elements = chunk_elements(problem);
  return (problem.as<SoftmaxShape>().seq_k + elements - 1) / elements;
}
inline int64_t max_row_chunks(const Problem& problem) {
  const int64_t elements = chunk_elements(problem);
  return (problem.as<SoftmaxShape>().seq_k + 2 * (elements - 1)) / elements;
}

}  // namespace metallic::softmax
