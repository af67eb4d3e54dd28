// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_block: f32 input.
#include "ops/softmax/cuda_block.cuh"

namespace metallic::softmax {

constinit const std::array<BlockInstance, 9> kBlockF32 = {kBlockInstance<float, float, RowAlignment::aligned>,
                                                          kBlockInstance<float, float, RowAlignment::any>,
                                                          kBlockInstance<float, float, RowAlignment::fixed>,
                                                          kBlockInstance<float, __half, RowAlignment::aligned>,
                                                          kBlockInstance<float, __half, RowAlignment::any>,
                                                          kBlockInstance<float, __half, RowAlignment::fixed>,
                                                          kBlockInstance<float, __nv_bfloat16, RowAlignment::aligned>,
                                                          kBlockInstance<float, __nv_bfloat16, RowAlignment::any>,
                                                          kBlockInstance<float, __nv_bfloat16, RowAlignment::fixed>};

constinit const std::array<SegmentInstance, 3> kSegmentF32 = {kSegmentInstance<float, float>, kSegmentInstance<float, __half>,
                                                              kSegmentInstance<float, __nv_bfloat16>};

}  // namespace metallic::softmax
