// SPDX-License-Identifier: Apache-2.0
// Describes the CPU of this machine.
#pragma once

#include <string>

#include "device/cpu/cgroup.h"
#include "device/info.h"

namespace metallic::cpu {

/// The CPU of this machine: model and caches from cpuinfo, SIMD target from Highway, the cores that this process may use.
DeviceInfo device();

/// The cores that this process may run on. Containers and taskset can restrict it to fewer than the machine has.
int usable_cores();

struct DefaultThreads {
  int threads = 1;
  std::string why;  ///< if fewer than the machine has cores: for people
};

/// The threads that keep `cores` usable cores busy without running into the CPU quota. With more, the system would stop all of
/// them for the rest of each period.
DefaultThreads default_threads(int cores, const CgroupFiles& files = {});

}  // namespace metallic::cpu
