// SPDX-License-Identifier: Apache-2.0
// The table of cuda_vec: its kernel instantiations.
#pragma once

#include <array>

#include "base/dtype.h"
#include "ops/softmax/softmax_rows.cuh"

namespace metallic::softmax {

struct VecInstance {
  DType dtype, out_dtype;
  RowAlignment alignment;
  bool clustered;  ///< whether a row's threads may be in several blocks of a cluster
  int chunks;      ///< of a thread, at most
  void (*kernel)(SoftmaxRows, const void* in, void* out, unsigned cluster_size);
};

// One table per file vec_<in>.cu, which spreads compilation. Within equal types, alignment and `clustered`, `chunks` rises.
extern const std::array<VecInstance, 44> kVecF16, kVecBf16;
extern const std::array<VecInstance, 66> kVecF32;

}  // namespace metallic::softmax
