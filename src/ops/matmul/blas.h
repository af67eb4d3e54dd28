// matmul by a BLAS that was found at run time: what the variants for OpenBLAS and BLIS share.
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

/// The kernel of a problem that is not rejected. The library may take locks and memory while it runs, and its number of
/// threads is the process's: plans of several thread counts that run at once may run with each other's.
Result<std::unique_ptr<const Kernel>> blas_kernel(std::string_view library, const Problem& problem);

}  // namespace metallic::matmul
