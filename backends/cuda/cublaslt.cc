#include "backends/cuda/cublaslt.h"

#ifdef METALLIC_WITH_CUDA
#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <optional>
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {

std::atomic<const CublasLt*> loaded = nullptr;

// The library of the major version whose header this was built with; others have other structs.
std::optional<Library> load(CublasLt& api) {
  void* library = dlopen(fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::nullopt;
  const auto find = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
    return function != nullptr;
  };
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  const bool complete =
      find("cublasLtCreate", create) && find("cublasLtGetVersion", version) &&
      find("cublasLtMatmulDescCreate", api.desc_create) && find("cublasLtMatmulDescDestroy", api.desc_destroy) &&
      find("cublasLtMatmulDescSetAttribute", api.desc_set) && find("cublasLtMatrixLayoutCreate", api.layout_create) &&
      find("cublasLtMatrixLayoutDestroy", api.layout_destroy) && find("cublasLtMatrixLayoutSetAttribute", api.layout_set) &&
      find("cublasLtMatmulPreferenceCreate", api.preference_create) &&
      find("cublasLtMatmulPreferenceDestroy", api.preference_destroy) &&
      find("cublasLtMatmulPreferenceSetAttribute", api.preference_set) && find("cublasLtMatmulAlgoGetHeuristic", api.heuristic) &&
      find("cublasLtMatmul", api.matmul);
  if (!complete || create(&api.handle) != CUBLAS_STATUS_SUCCESS) return std::nullopt;
  const size_t number = version();
  return Library{"cublaslt", fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100)};
}

}  // namespace

std::vector<Library> libraries() {
  static CublasLt api;
  static const std::optional<Library> found = load(api);
  if (!found) return {};
  loaded = &api;
  return {*found};
}

const CublasLt* cublaslt() { return loaded; }

#else

std::vector<Library> libraries() { return {}; }

#endif

}  // namespace metallic::cuda
