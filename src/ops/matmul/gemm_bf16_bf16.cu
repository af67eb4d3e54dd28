// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: bf16 operands, bf16 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 12> kGemmBf16Bf16 = gemm_mma_instances<__nv_bfloat16, __nv_bfloat16>();

}  // namespace metallic::matmul
