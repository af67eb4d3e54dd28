// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: f32 operands, bf16 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 8> kGemmF32Bf16 = gemm_fma_instances<__nv_bfloat16>();

}  // namespace metallic::matmul
