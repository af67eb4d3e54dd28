// cuBLASLt, found at run time: its C interface as far as kernels use it.
#pragma once

#ifdef METALLIC_WITH_CUDA
#include <cublasLt.h>
#endif

#include <optional>

#include "device/info.h"

namespace metallic::cuda {

/// For `libraries()`, which calls it once.
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

/// Null where it is not loaded.
const CublasLt* cublaslt();

/// The handle for the current device, made by the first call there and kept; null where it cannot be made. Safe from several
/// threads, as the handle is.
cublasLtHandle_t cublaslt_handle();
#endif

}  // namespace metallic::cuda
