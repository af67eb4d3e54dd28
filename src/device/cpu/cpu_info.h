// SPDX-License-Identifier: Apache-2.0
// Describes the CPU of this machine.
#pragma once

#include "device/info.h"

namespace metallic::cpu {

/// The CPU of this machine: model and caches from cpuinfo, SIMD target from Highway, the cores that this process may use.
DeviceInfo device();

/// The cores that this process may run on. Containers and taskset can restrict it to fewer than the machine has.
int usable_cores();

}  // namespace metallic::cpu
