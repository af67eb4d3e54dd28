// Libraries of kernels for CUDA devices, found at run time.
#pragma once

#include <vector>

#include "device/info.h"

namespace metallic::cuda {

/// Those that this machine has, loaded by the first call and kept until the process ends; safe from several threads.
std::vector<Library> libraries();

}  // namespace metallic::cuda
