// SPDX-License-Identifier: Apache-2.0
// Streaming reads: reads a buffer once with all threads of an executor, as fast as the machine can.
#pragma once

#include <cstddef>

#include "base/executor.h"
#include "device/info.h"

namespace metallic {

/// Reads `count` floats, each thread a contiguous part. Up to 320 floats at the end of each part may stay unread.
void stream_read(const float* from, size_t count, const DeviceInfo& device, Executor& executor);

}  // namespace metallic
