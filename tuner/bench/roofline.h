// SPDX-License-Identifier: Apache-2.0
// Roofline: the peak rates of this machine's memory and arithmetic, measured with the executor that kernels use.
#pragma once

#include "base/executor.h"
#include "device/info.h"
#include "profile/device_json.h"

namespace metallic {

/// The best of several runs each of reading, copying with streaming stores, and f32 multiply-adds. Takes about a second. Buffers
/// have four times the size of the last-level cache.
Roofline measure_roofline(const DeviceInfo& device, Executor& executor);

}  // namespace metallic
