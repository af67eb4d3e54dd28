// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_wgmma: bf16 operands, f32 output.
#include "ops/matmul/cuda_wgmma.cuh"

namespace metallic::matmul {

constinit const std::array<WgmmaInstance, 4> kWgmmaBf16F32 = wgmma_instances<__nv_bfloat16, float>();

}  // namespace metallic::matmul
