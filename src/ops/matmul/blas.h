// SPDX-License-Identifier: Apache-2.0
// matmul by the sgemm of a BLAS that was found at run time; the variants for OpenBLAS and BLIS share it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "device/peers/cpu_libraries.h"
#include "ops/variant.h"

namespace metallic::matmul {

/// Why `library` cannot compute the problem, or nothing.
std::optional<std::string> blas_rejects(std::string_view library, const Problem& problem, const DeviceInfo& device);

/// The kernel of a problem that is not rejected. The library may take locks and allocate while it runs. Its number of threads
/// belongs to the process, so plans that run at once may use each other's number of threads.
Result<std::unique_ptr<const Kernel>> blas_kernel(std::string_view library, const Problem& problem);

}  // namespace metallic::matmul
