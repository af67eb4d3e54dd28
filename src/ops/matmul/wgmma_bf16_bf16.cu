// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_wgmma: bf16 operands, bf16 output.
#include "ops/matmul/cuda_wgmma.cuh"

namespace metallic::matmul {

constinit const std::array<WgmmaInstance, 4> kWgmmaBf16Bf16 = wgmma_instances<__nv_bfloat16, __nv_bfloat16>();

}  // namespace metallic::matmul
