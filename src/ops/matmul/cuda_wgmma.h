// SPDX-License-Identifier: Apache-2.0
// The table of cuda_wgmma: its kernel instantiations and their launch parameters.
#pragma once

#include <cuda.h>

#include <array>
#include <cstddef>

#include "base/dtype.h"
#include "ops/matmul/gemm_shape.cuh"

namespace metallic::matmul {

struct WgmmaInstance {
  DType dtype, out_dtype;
  int block_m, block_n;  ///< the tuning parameters `rows` and `columns`: the tile of C of a block
  int stages;            ///< of the pipeline, for two resident blocks if block_n < 128
  int max_stages;        ///< for one resident block; only with TMA
  size_t stage_bytes;    ///< shared memory of a stage
  int cp_async_threads;  ///< all copy and compute
  int tma_threads;       ///< the last 32 or 128 are producers
  void (*cp_async)(GemmShape, const void* a, const void* b, void* c, int copy_bytes_a, int copy_bytes_b, unsigned split);
  void (*tma)(CUtensorMap a, CUtensorMap b, GemmShape, void* c, unsigned split, int stages);
};

// One table per file wgmma_<in>_<out>.cu, which spreads compilation.
extern const std::array<WgmmaInstance, 4> kWgmmaF16F16, kWgmmaF16F32, kWgmmaBf16Bf16, kWgmmaBf16F32;

}  // namespace metallic::matmul
