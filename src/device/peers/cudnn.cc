// SPDX-License-Identifier: Apache-2.0
// Loads cuDNN.
#include "device/peers/cudnn.h"

#ifdef METALLIC_WITH_CUDA
#include <atomic>

#include "base/shared_library.h"
#include "device/peers/cuda_libraries.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA
namespace {
std::atomic<const Cudnn*> loaded = nullptr;
}

std::optional<Library> load_cudnn() {
  const SharedLibrary library("libcudnn.so.9");
  static Cudnn api;
  size_t (*version)() = nullptr;
  const bool complete =
      library.find("cudnnGetVersion", version) && library.find("cudnnCreate", api.create) &&
      library.find("cudnnSetStream", api.set_stream) && library.find("cudnnCreateTensorDescriptor", api.descriptor_create) &&
      library.find("cudnnDestroyTensorDescriptor", api.descriptor_destroy) &&
      library.find("cudnnSetTensor4dDescriptorEx", api.descriptor_set) && library.find("cudnnSoftmaxForward", api.softmax);
  if (!complete) return std::nullopt;
  loaded = &api;
  return Library{"cudnn", version_of(version())};
}

const Cudnn* cudnn() { return loaded; }

#else

std::optional<Library> load_cudnn() { return std::nullopt; }
const Cudnn* cudnn() { return nullptr; }

#endif

}  // namespace metallic::cuda
