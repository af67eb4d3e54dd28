// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/device_scope.h"

#ifdef METALLIC_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA

DeviceScope::DeviceScope(int ordinal) {
  int current = -1;
  if (ordinal < 0 || cudaGetDevice(&current) != cudaSuccess || current == ordinal) return;
  if (cudaSetDevice(ordinal) == cudaSuccess) before_ = current;
}

DeviceScope::~DeviceScope() {
  if (before_ >= 0) cudaSetDevice(before_);
}

#else

DeviceScope::DeviceScope(int) {}
DeviceScope::~DeviceScope() = default;

#endif

}  // namespace metallic::cuda
