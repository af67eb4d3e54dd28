// SPDX-License-Identifier: Apache-2.0
// The tables of cuda_block: its kernel instantiations.
#pragma once

#include <array>

#include "base/dtype.h"
#include "ops/softmax/softmax_rows.cuh"

namespace metallic::softmax {

inline constexpr int kBlockStages = 3;  ///< rows of a block in shared memory

struct BlockInstance {
  DType dtype, out_dtype;
  RowAlignment alignment;
  /// `row_chunks`: of a row; `stage_chunks`: of those, in shared memory.
  void (*kernel)(SoftmaxRows, const void* in, void* out, int row_chunks, int stage_chunks);
};

/// Rows in segments, by two kernels: the first writes a (maximum, sum) pair for each segment, the second the results.
struct SegmentInstance {
  DType dtype, out_dtype;
  void (*reduce)(SoftmaxRows, const void* in, cuda::MaxSum* pairs, int segment_chunks, unsigned segments);
  void (*normalize)(SoftmaxRows, const void* in, void* out, const cuda::MaxSum* pairs, int segment_chunks, unsigned segments);
};

// One pair of tables per file block_<in>.cu, which spreads compilation.
extern const std::array<BlockInstance, 6> kBlockF16, kBlockBf16;
extern const std::array<BlockInstance, 9> kBlockF32;
extern const std::array<SegmentInstance, 2> kSegmentF16, kSegmentBf16;
extern const std::array<SegmentInstance, 3> kSegmentF32;

}  // namespace metallic::softmax
