// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_wgmma: f16 operands, f16 output.
#include "ops/matmul/cuda_wgmma.cuh"

namespace metallic::matmul {

constinit const std::array<WgmmaInstance, 4> kWgmmaF16F16 = wgmma_instances<__half, __half>();

}  // namespace metallic::matmul
