// SPDX-License-Identifier: Apache-2.0
// The table of cuda_gemm: its kernel instantiations and their launch parameters.
#pragma once

#include <array>
#include <cstddef>

#include "base/dtype.h"
#include "ops/matmul/gemm_shape.cuh"

namespace metallic::matmul {

struct GemmInstance {
  DType dtype, out_dtype;
  int tile;                   ///< the tuning parameter
  bool a_along_k, b_along_k;  ///< whether the operand is K-major
  int block_m, block_n;       ///< tile of C of a block
  int threads;                ///< of a block
  size_t smem_bytes;          ///< of a block
  void (*kernel)(GemmShape, const void* a, const void* b, void* c, int copy_bytes_a, int copy_bytes_b, unsigned split);
};

// One table per file gemm_<in>_<out>.cu, which spreads compilation.
extern const std::array<GemmInstance, 12> kGemmF16F16, kGemmF16F32, kGemmBf16Bf16, kGemmBf16F32;
extern const std::array<GemmInstance, 8> kGemmF32F32, kGemmF32F16, kGemmF32Bf16;

}  // namespace metallic::matmul
