#include "backends/cuda/libraries.h"

#include "backends/cuda/cublaslt.h"
#include "backends/cuda/cudnn.h"

namespace metallic::cuda {

std::vector<Library> libraries() {
  static const std::vector<Library> found = [] {
    std::vector<Library> all;
    for (const auto& library : {load_cublaslt(), load_cudnn()})
      if (library) all.push_back(*library);
    return all;
  }();
  return found;
}

}  // namespace metallic::cuda
