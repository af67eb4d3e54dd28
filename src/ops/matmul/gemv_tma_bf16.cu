// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_gemv_tma: bf16 operands.
#include "ops/matmul/cuda_gemv_tma.cuh"

namespace metallic::matmul {

constinit const std::array<GemvTmaInstance, 12> kGemvTmaBf16 = gemv_tma_instances<__nv_bfloat16>();

}  // namespace metallic::matmul
