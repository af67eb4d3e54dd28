// Roofline: what this machine's memory and arithmetic can do at most, measured with the executor that kernels use.
#pragma once

#include "device/info.h"
#include "base/executor.h"
#include "profile/device_json.h"

namespace metallic {

/// Best of several runs each of reading, copying (streaming stores) and multiply-adding; about a second. Memory traffic goes
/// over buffers of four times the last-level cache.
Roofline measure_roofline(const DeviceFacts& facts, Executor& executor);

}  // namespace metallic
