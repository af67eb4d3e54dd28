// SPDX-License-Identifier: Apache-2.0
// Finds cuBLASLt and cuDNN on this machine.
#include "device/peers/cuda_libraries.h"

#include <fmt/format.h>

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

std::string version_of(size_t number) { return fmt::format("{}.{}.{}", number / 10000, number / 100 % 100, number % 100); }

}  // namespace metallic::cuda
