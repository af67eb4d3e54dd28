// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemv: bf16 operands.
#include "ops/matmul/cuda_gemv.cuh"

namespace metallic::matmul {

constinit const std::array<GemvInstance, 28> kGemvBf16 = gemv_16_bit_instances<__nv_bfloat16>();

}  // namespace metallic::matmul
