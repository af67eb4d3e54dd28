// Streaming reads: reads a buffer once with all threads of an executor, as fast as the machine can.
#pragma once

#include <cstddef>

#include "device/info.h"
#include "base/executor.h"

namespace metallic {

/// Reads `count` floats, each thread a contiguous part. Up to 320 floats at the end of each part may stay unread.
void stream_read(const float* from, size_t count, const DeviceFacts& facts, Executor& executor);

}  // namespace metallic
