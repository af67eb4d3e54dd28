// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemm: f16 operands, f16 output.
#include "ops/matmul/cuda_gemm.cuh"

namespace metallic::matmul {

constinit const std::array<GemmInstance, 12> kGemmF16F16 = gemm_mma_instances<__half, __half>();

}  // namespace metallic::matmul
