// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_vec: bf16 input.
#include "ops/softmax/cuda_vec.cuh"

namespace metallic::softmax {

constinit const std::array<VecInstance, 44> kVecBf16 =
    concatenate({vec_instances<__nv_bfloat16, __nv_bfloat16>(), vec_instances<__nv_bfloat16, float>()});

}  // namespace metallic::softmax
