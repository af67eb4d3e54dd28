// SPDX-License-Identifier: Apache-2.0
// CUDA libraries that peer variants call, found at run time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "device/info.h"

namespace metallic::cuda {

/// The libraries of this machine. The first call loads them, and they stay loaded until the process ends. Thread-safe.
std::vector<Library> libraries();

/// The version that a library of NVIDIA gives as one number: 130100 is 13.1.0.
std::string version_of(size_t number);

}  // namespace metallic::cuda
