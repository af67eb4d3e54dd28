// SPDX-License-Identifier: Apache-2.0
// Instantiations of cuda_block: bf16 input.
#include "ops/softmax/cuda_block.cuh"

namespace metallic::softmax {

using In = __nv_bfloat16;

constinit const std::array<BlockInstance, 6> kBlockBf16 = {
    kBlockInstance<In, In, RowAlignment::aligned>, kBlockInstance<In, In, RowAlignment::any>,
    kBlockInstance<In, In, RowAlignment::fixed>,   kBlockInstance<In, float, RowAlignment::aligned>,
    kBlockInstance<In, float, RowAlignment::any>,  kBlockInstance<In, float, RowAlignment::fixed>};

constinit const std::array<SegmentInstance, 2> kSegmentBf16 = {kSegmentInstance<In, In>, kSegmentInstance<In, float>};

}  // namespace metallic::softmax
