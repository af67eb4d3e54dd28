// cuBLASLt, found at run time: its C interface as far as kernels use it.
#pragma once

#ifdef METALLIC_WITH_CUDA
#include <cublasLt.h>
#endif

#include <vector>

#include "core/device.h"

namespace metallic::cuda {

/// Libraries of kernels for CUDA devices that this machine has, loaded by the first call and kept until the process ends; safe
/// from several threads.
std::vector<Library> libraries();

#ifdef METALLIC_WITH_CUDA
struct CublasLt {
  cublasLtHandle_t handle;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;
};

/// Null where `libraries()` has not loaded it.
const CublasLt* cublaslt();
#endif

}  // namespace metallic::cuda
