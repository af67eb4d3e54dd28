// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemv: f32 operands.
#include "ops/matmul/cuda_gemv.cuh"

namespace metallic::matmul {

constinit const std::array<GemvInstance, 24> kGemvF32 = gemv_f32_instances();

}  // namespace metallic::matmul
