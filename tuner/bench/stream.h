// Streaming reads: every byte of a buffer once, by all threads of an executor, as fast as the machine can.
#pragma once

#include <cstddef>

#include "device/info.h"
#include "base/executor.h"

namespace metallic {

/// Reads `count` floats, each thread a contiguous share; of each share's end up to 320 floats may stay unread.
void stream_read(const float* from, size_t count, const DeviceInfo& device, Executor& executor);

}  // namespace metallic
