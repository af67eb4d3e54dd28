// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: bf16 operands, f32 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 12> kGemmBf16F32 = gemm_mma_instances<__nv_bfloat16, float>();

}  // namespace metallic::matmul
