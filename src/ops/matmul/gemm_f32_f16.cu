// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: f32 operands, f16 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 8> kGemmF32F16 = gemm_fma_instances<__half>();

}  // namespace metallic::matmul
