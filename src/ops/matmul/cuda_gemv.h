// SPDX-License-Identifier: Apache-2.0
// The table of cuda_gemv: its kernel instantiations and their launch parameters.
#pragma once

#include <array>
#include <cstdint>

#include "base/dtype.h"
#include "ops/matmul/gemv_shape.cuh"

namespace metallic::matmul {

inline constexpr int kGemvMaxWarps = 16;  ///< of a block
inline constexpr int kGemvMmaStepK = 64;  ///< K of a warp's pipeline stage with mma: 128 bytes of a row

/// mma: K-major 16-bit weights aligned to 16 bytes, on tensor cores. dot: K-major weights, as dot products. axpy: weights stored
/// along `big`, which are scaled and added row by row.
enum class GemvMethod : unsigned char { mma, dot, axpy };

struct GemvInstance {
  DType dtype, out_dtype;
  GemvMethod method;
  int rows;                ///< rows of weights of a block; for mma a tuning parameter
  int columns;             ///< the largest n
  int stages;              ///< of a warp's pipeline; for mma a tuning parameter, else 0
  int64_t pipeline_bytes;  ///< shared memory of a warp for it
  void (*kernel)(GemvShape, const void* w, const void* x, void* y, unsigned split);
};

/// Shared memory of a warp's mma stage: 16 bytes per lane for each 32 K of eight rows of W, or of eight columns of X.
constexpr int64_t gemv_mma_stage_bytes(int64_t rows, int64_t columns) {
  return int64_t{16 * kWarpSize} * (kGemvMmaStepK / 32) * (rows + columns) / 8;
}

// One table per file gemv_<in>.cu, which spreads compilation.
extern const std::array<GemvInstance, 28> kGemvF16, kGemvBf16;
extern const std::array<GemvInstance, 24> kGemvF32;

}  // namespace metallic::matmul
