// SPDX-License-Identifier: Apache-2.0
// The table of cuda_gemv_tma: its kernel instantiations, and the layout of a pipeline stage.
#pragma once

#include <cuda.h>

#include <array>

#include "base/dtype.h"
#include "ops/matmul/gemv_shape.cuh"

namespace metallic::matmul {

inline constexpr int kGemvTmaConsumerWarps = 4;                                  // a producer warp follows
inline constexpr int kGemvTmaThreads = kWarpSize * (kGemvTmaConsumerWarps + 1);  // of a block
inline constexpr int kGemvTmaMaxStages = 8;
inline constexpr int kGemvTmaBoxK = 64;                                      // 128 bytes: the width of the swizzle
inline constexpr int kGemvTmaStageK = kGemvTmaConsumerWarps * kGemvTmaBoxK;  // a box for each consumer warp

struct GemvTmaInstance {
  DType dtype, out_dtype;
  int rows;     ///< the tuning parameter: rows of weights of a tile
  int columns;  ///< 8 or 16: the largest n
  /// `maps_valid`: whether the tensor maps are; otherwise the producer reads w and x element by element.
  void (*kernel)(CUtensorMap w_map, CUtensorMap x_map, GemvShape, const void* w, const void* x, void* y, unsigned split,
                 int stages, bool maps_valid);
};

// One table per file gemv_tma_<in>.cu, which spreads compilation.
extern const std::array<GemvTmaInstance, 12> kGemvTmaF16, kGemvTmaBf16;

}  // namespace metallic::matmul
