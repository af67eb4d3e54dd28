// SPDX-License-Identifier: Apache-2.0
// The part of the C interface of cuDNN that kernels use; the library is found at run time. Declared by hand, because neither the
// driver nor the toolkit has the header. Names and numbers come from the documentation of cuDNN 9.
#pragma once

#include <optional>

#include "device/info.h"

namespace metallic::cuda {

/// Loads the library, or returns nothing if it is missing or incomplete. `libraries()` calls it once.
std::optional<Library> load_cudnn();

struct Cudnn {
  static constexpr int kFloat = 0, kHalf = 2, kBfloat16 = 9;  // cudnnDataType_t
  static constexpr int kAccurate = 1;                         // cudnnSoftmaxAlgorithm_t
  static constexpr int kInstance = 0;                         // cudnnSoftmaxMode_t: over a whole image
  static constexpr int kNotSupported = 3000;                  // cudnnStatus_t, from here to the next thousand

  int (*create)(void** handle);
  int (*set_stream)(void* handle, void* stream);
  int (*descriptor_create)(void** descriptor);
  int (*descriptor_destroy)(void* descriptor);
  int (*descriptor_set)(void* descriptor, int dtype, int n, int c, int h, int w, int n_stride, int c_stride, int h_stride,
                        int w_stride);
  int (*softmax)(void* handle, int algorithm, int mode, const void* alpha, const void* in_descriptor, const void* in,
                 const void* beta, const void* out_descriptor, void* out);
};

/// Null if it is not loaded.
const Cudnn* cudnn();

}  // namespace metallic::cuda
