// Checking CUDA calls: each error says which call failed, where, and why.
#pragma once

#include <cuda_runtime_api.h>

#include "base/status.h"

namespace metallic::cuda {

/// What a CUDA error is to callers.
Code code_of(cudaError_t error);

/// The error of a CUDA call, if it is one, named with the call, its file and line. nvcc does not take fmt's checked formats, so
/// that kernels see no body.
Status checked(cudaError_t error, const char* call, const char* file, int line);

}  // namespace metallic::cuda

/// Returns the error of a CUDA call, named with the call, file and line, if it is one.
#define METALLIC_CUDA(call) METALLIC_CHECK(::metallic::cuda::checked((call), #call, __FILE__, __LINE__))
