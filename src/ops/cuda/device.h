// What CUDA's variants ask of a device before all else.
#pragma once

#include <optional>
#include <string>

#include "device/info.h"

namespace metallic::cuda {

/// Why no CUDA variant runs on the device, or nothing.
inline std::optional<std::string> refuses_device(const DeviceFacts& facts) {
  if (facts.backend != "cuda") return "needs a CUDA device";
  if (facts.isa_bit < 80) return "needs compute capability 8.0";
  return std::nullopt;
}

}  // namespace metallic::cuda
