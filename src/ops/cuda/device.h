// SPDX-License-Identifier: Apache-2.0
// What every CUDA variant requires of a device.
#pragma once

#include <optional>
#include <string>

#include "device/info.h"

namespace metallic::cuda {

/// Why no CUDA variant runs on the device, or nothing.
inline std::optional<std::string> refuses_device(const DeviceInfo& device) {
  if (device.backend != "cuda") return "needs a CUDA device";
  if (device.cuda().sm_version < 80) return "needs compute capability 8.0";
  return std::nullopt;
}

}  // namespace metallic::cuda
