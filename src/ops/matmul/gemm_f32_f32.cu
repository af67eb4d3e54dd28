// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: f32 operands, f32 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 8> kGemmF32F32 = gemm_fma_instances<float>();

}  // namespace metallic::matmul
