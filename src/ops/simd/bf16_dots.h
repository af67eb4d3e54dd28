// SPDX-License-Identifier: Apache-2.0
// Says whether kernels may use the dot products of bf16 pairs.
#pragma once

#include <hwy/detect_targets.h>

#include "device/info.h"

namespace metallic {

/// Whether the CPU has AVX-512 BF16 and the device's target is one that bf16_pairs-inl.h compiles for; asked at every choice.
inline bool has_bf16_dots(const DeviceInfo& device) { return device.cpu().bf16_dots && device.cpu().hwy_target == HWY_AVX3; }

}  // namespace metallic
