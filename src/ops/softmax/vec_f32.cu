// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_vec: f32 input.
#include "ops/softmax/cuda_vec.cuh"

namespace metallic::softmax {

constinit const std::array<VecInstance, 66> kVecF32 =
    concatenate({vec_instances<float, float>(), vec_instances<float, __half>(), vec_instances<float, __nv_bfloat16>()});

}  // namespace metallic::softmax
