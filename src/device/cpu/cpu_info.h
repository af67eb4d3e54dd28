// What kind of CPU this is.
#pragma once

#include "device/info.h"

namespace metallic::cpu {

/// The machine this runs on: model and caches by cpuinfo, SIMD targets by Highway, the cores that this process may use.
DeviceInfo device();

/// Cores that this process may run on: containers and taskset give fewer than the machine has.
int usable_cores();

}  // namespace metallic::cpu
