#include "device/peers/cuda_libraries.h"

#include "device/peers/cublaslt.h"
#include "device/peers/cudnn.h"

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
