// SPDX-License-Identifier: Apache-2.0
// Asks cpuinfo, Highway and Linux what kind of CPU this is.
#include "device/cpu/cpu_info.h"

#include <cpuinfo.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "device/cpu/amx.h"
#include "device/cpu/isa.h"

namespace metallic::cpu {

int usable_cores() {
  // Machines with more CPUs than the set has bits need a larger one.
  for (int cpus = CPU_SETSIZE; cpus <= (1 << 20); cpus *= 4) {
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    std::vector<unsigned char> memory(bytes + alignof(cpu_set_t));
    void* place = memory.data();
    size_t room = memory.size();
    auto* const set = static_cast<cpu_set_t*>(std::align(alignof(cpu_set_t), bytes, place, room));
    if (sched_getaffinity(0, bytes, set) == 0) return std::max(1, CPU_COUNT_S(bytes, set));
    if (errno != EINVAL) break;
  }
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

DefaultThreads default_threads(int cores, const CgroupFiles& files) {
  DefaultThreads chosen{.threads = cores, .why = {}};
  if (const auto online = sysconf(_SC_NPROCESSORS_ONLN); online > cores)
    chosen.why = fmt::format("this process may use {} of {} cores", cores, online);
  if (const auto quota = cpu_quota(files); quota && quota->threads() < cores) {
    chosen.threads = quota->threads();
    chosen.why += fmt::format("{}the CPU quota is {:.3g} cores ({})", chosen.why.empty() ? "" : ", ", quota->cores(),
                              quota->group.native());
  }
  return chosen;
}

namespace {

// The widest target of this CPU by name. Fingerprints and profiles name SSSE3 although kernels are not compiled for it.
Isa widest_isa() {
#if HWY_ARCH_X86
  constexpr int64_t kNamed = HWY_TARGETS | HWY_SSSE3;
#else
  constexpr int64_t kNamed = HWY_TARGETS;
#endif
  const int64_t named = hwy::SupportedTargets() & kNamed;
  const int64_t widest = named != 0 ? named & -named : HWY_STATIC_TARGET;  // the lowest bit is the widest target
  return {hwy::TargetName(widest), widest};
}

}  // namespace

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  // From the lowest bit, which is the widest target.
  for (int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
    const int64_t bit = rest & -rest;
    isas.push_back({hwy::TargetName(bit), bit});
  }
  if (isas.empty()) isas.push_back({hwy::TargetName(HWY_STATIC_TARGET), HWY_STATIC_TARGET});
  return isas;
}

DeviceInfo device() {
  DeviceInfo device{.id = "cpu", .backend = "cpu", .model = "unknown", .kind = CpuInfo()};
  CpuInfo& cpu = device.cpu();
  const Isa isa = widest_isa();
  cpu.isa = isa.name;
  cpu.hwy_target = isa.bit;
  cpu.amx = has_amx();
  cpu.cores = usable_cores();
  device.memory_bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  if (!cpuinfo_initialize()) return device;
#if defined(__x86_64__)
  cpu.bf16_dots = cpuinfo_has_x86_avx512bf16();
#endif
  if (cpuinfo_get_packages_count() > 0) device.model = cpuinfo_get_package(0)->name;
  if (cpuinfo_get_l1d_caches_count() > 0) cpu.l1d_bytes = cpuinfo_get_l1d_cache(0)->size;
  if (cpuinfo_get_l2_caches_count() > 0) cpu.l2_bytes = cpuinfo_get_l2_cache(0)->size;
  cpu.llc_bytes = cpuinfo_get_l3_caches_count() > 0 ? cpuinfo_get_l3_cache(0)->size : cpu.l2_bytes;
  return device;
}

}  // namespace metallic::cpu
