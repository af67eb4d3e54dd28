// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_vec: f16 input.
#include "ops/softmax/cuda_vec.cuh"

namespace metallic::softmax {

constinit const std::array<VecInstance, 44> kVecF16 =
    concatenate({vec_instances<__half, __half>(), vec_instances<__half, float>()});

}  // namespace metallic::softmax
