#include "backends/cuda/cublaslt.h"

#ifdef METALLIC_WITH_CUDA
#include <fmt/format.h>

#include <atomic>

#include "backends/cuda/library.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {
std::atomic<const CublasLt*> loaded = nullptr;
}

std::optional<Library> load_cublaslt() {
  // The library of the major version whose header this was built with; others have other structs.
  const SharedLibrary library(fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR).c_str());
  static CublasLt api;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  const bool complete =
      library.find("cublasLtCreate", create) && library.find("cublasLtGetVersion", version) &&
      library.find("cublasLtMatmulDescCreate", api.desc_create) && library.find("cublasLtMatmulDescDestroy", api.desc_destroy) &&
      library.find("cublasLtMatmulDescSetAttribute", api.desc_set) &&
      library.find("cublasLtMatrixLayoutCreate", api.layout_create) &&
      library.find("cublasLtMatrixLayoutDestroy", api.layout_destroy) &&
      library.find("cublasLtMatrixLayoutSetAttribute", api.layout_set) &&
      library.find("cublasLtMatmulPreferenceCreate", api.preference_create) &&
      library.find("cublasLtMatmulPreferenceDestroy", api.preference_destroy) &&
      library.find("cublasLtMatmulPreferenceSetAttribute", api.preference_set) &&
      library.find("cublasLtMatmulAlgoGetHeuristic", api.heuristic) && library.find("cublasLtMatmul", api.matmul);
  if (!complete || create(&api.handle) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  loaded = &api;
  return Library{"cublaslt", version_of(version())};
}

const CublasLt* cublaslt() { return loaded; }

#else

std::optional<Library> load_cublaslt() { return std::nullopt; }

#endif

}  // namespace metallic::cuda
