// SPDX-License-Identifier: Apache-2.0
// Error handling of CUDA calls: each error says which call failed, where, and why.
#pragma once

#include <cuda_runtime_api.h>

#include "base/status.h"

namespace metallic::cuda {

/// The status code of a CUDA error.
Code code_of(cudaError_t error);

/// The error of a CUDA call, if any, with the call, its file and line. Defined in a .cc file because nvcc does not compile the
/// checked formats of fmt.
Status checked(cudaError_t error, const char* call, const char* file, int line);

}  // namespace metallic::cuda

/// Returns from the function with the error of a CUDA call, if any.
#define METALLIC_CUDA(call) METALLIC_CHECK(::metallic::cuda::checked((call), #call, __FILE__, __LINE__))
