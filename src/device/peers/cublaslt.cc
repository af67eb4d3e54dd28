// SPDX-License-Identifier: Apache-2.0
// Loads cuBLASLt.
#include "device/peers/cublaslt.h"

#ifdef METALLIC_WITH_CUDA
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <atomic>
#include <map>
#include <mutex>

#include "base/shared_library.h"
#include "device/peers/cuda_libraries.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {
std::atomic<const CublasLt*> loaded = nullptr;
}

std::optional<Library> load_cublaslt() {
  // The major version of the header that this was built with, because others have other structs.
  const SharedLibrary library(fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR));
  static CublasLt api;
  decltype(&cublasLtGetVersion) version = nullptr;
  const bool complete =
      library.find("cublasLtCreate", api.create) && library.find("cublasLtGetVersion", version) &&
      library.find("cublasLtMatmulDescCreate", api.desc_create) && library.find("cublasLtMatmulDescDestroy", api.desc_destroy) &&
      library.find("cublasLtMatmulDescSetAttribute", api.desc_set) &&
      library.find("cublasLtMatrixLayoutCreate", api.layout_create) &&
      library.find("cublasLtMatrixLayoutDestroy", api.layout_destroy) &&
      library.find("cublasLtMatrixLayoutSetAttribute", api.layout_set) &&
      library.find("cublasLtMatmulPreferenceCreate", api.preference_create) &&
      library.find("cublasLtMatmulPreferenceDestroy", api.preference_destroy) &&
      library.find("cublasLtMatmulPreferenceSetAttribute", api.preference_set) &&
      library.find("cublasLtMatmulAlgoGetHeuristic", api.heuristic) && library.find("cublasLtMatmul", api.matmul);
  if (!complete) return std::nullopt;
  loaded = &api;
  return Library{"cublaslt", version_of(version())};
}

const CublasLt* cublaslt() { return loaded; }

cublasLtHandle_t cublaslt_handle() {
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> handles;
  int device = 0;
  if (!loaded || cudaGetDevice(&device) != cudaSuccess) return nullptr;
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& handle = handles[device];
  if (!handle && loaded.load()->create(&handle) != CUBLAS_STATUS_SUCCESS) handle = nullptr;
  return handle;
}

#else

std::optional<Library> load_cublaslt() { return std::nullopt; }

#endif

}  // namespace metallic::cuda
