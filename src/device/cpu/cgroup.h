// SPDX-License-Identifier: Apache-2.0
// The CPU quota that the control groups of this process set, versions 1 and 2, and how often it ran out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace metallic::cpu {

/// Where the system tells about control groups; tests replace it.
struct CgroupFiles {
  std::filesystem::path cgroup = "/proc/self/cgroup";
  std::filesystem::path mountinfo = "/proc/self/mountinfo";
  std::filesystem::path root = "/";  ///< in front of the mount points that mountinfo names
};

struct CpuQuota {
  int64_t quota_us = 0, period_us = 1;
  std::filesystem::path group;  ///< the folder of the control group that sets it

  double cores() const { return static_cast<double>(quota_us) / static_cast<double>(period_us); }
  /// Threads that the quota can keep busy, at least 1; the last one perhaps for a part of the time.
  int threads() const;
};

/// How often the quotas of a process ran out since its groups were made. Counts of several groups are added.
struct CpuThrottling {
  int64_t periods = 0;    ///< of the quota, in which the groups ran
  int64_t throttled = 0;  ///< of these, in which the quota ran out
  double seconds = 0;     ///< of CPU time that was withheld
};

/// The tightest quota of this process's control group and of all groups above it; nothing if none sets one. What cannot be read
/// or understood counts as no quota.
std::optional<CpuQuota> cpu_quota(const CgroupFiles& files = {});

/// Nothing if no group has a quota.
std::optional<CpuThrottling> cpu_throttling(const CgroupFiles& files = {});

}  // namespace metallic::cpu
