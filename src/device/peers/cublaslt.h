// SPDX-License-Identifier: Apache-2.0
// The part of the C interface of cuBLASLt that kernels use; the library is found at run time.
#pragma once

#ifdef METALLIC_WITH_CUDA
#include <cublasLt.h>
#endif

#include <optional>

#include "device/info.h"

namespace metallic::cuda {

/// Loads the library, or returns nothing if it is missing or incomplete. `libraries()` calls it once.
std::optional<Library> load_cublaslt();

#ifdef METALLIC_WITH_CUDA
struct CublasLt {
  decltype(&cublasLtCreate) create;
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

/// Null if it is not loaded.
const CublasLt* cublaslt();

/// The handle for the current device, which the first call creates, or null if that fails. Thread-safe, as the handle is.
cublasLtHandle_t cublaslt_handle();
#endif

}  // namespace metallic::cuda
