// SPDX-License-Identifier: Apache-2.0
// CPU quotas of made-up machines: both versions of control groups, nested groups, containers, and files that make no sense.
#include "device/cpu/cgroup.h"

#include <gtest/gtest.h>

#include <fstream>

#include "device/cpu/cpu_info.h"

namespace metallic::cpu {
namespace {

class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(testing::TempDir()) /
            (std::string("metallic_cgroup_") + testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  void version2(const std::string& group, const std::string& mount_root = "/") {
    write("cgroup", "0::" + group + "\n");
    write("mountinfo", "20 1 0:5 / /proc rw - proc proc rw\n31 23 0:28 " + mount_root +
                           " /sys/fs/cgroup rw,nosuid shared:9 master:2 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  CgroupFiles files() const { return {root_ / "cgroup", root_ / "mountinfo", root_}; }
  std::optional<CpuQuota> quota() const { return cpu_quota(files()); }

  std::filesystem::path root_;
};

TEST_F(Cgroup, Version2HasQuotaInItsGroup) {
  version2("/system.slice/a.service");
  write("sys/fs/cgroup/system.slice/a.service/cpu.max", "150000 100000\n");
  ASSERT_TRUE(quota());
  EXPECT_DOUBLE_EQ(quota()->cores(), 1.5);
  EXPECT_EQ(quota()->threads(), 2);
  EXPECT_EQ(quota()->group, root_ / "sys/fs/cgroup/system.slice/a.service");
}

TEST_F(Cgroup, TheTightestOfAllAboveCounts) {
  version2("/a/b/c");
  write("sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
  write("sys/fs/cgroup/a/cpu.max", "20000 10000\n");
  EXPECT_EQ(quota()->threads(), 2);
  write("sys/fs/cgroup/cpu.max", "30000 100000\n");
  EXPECT_EQ(quota()->threads(), 1);
}

TEST_F(Cgroup, Version1HasTwoFiles) {
  write("cgroup", "9:name=systemd:/\n4:cpuset:/other\n2:cpu,cpuacct:/docker/1f\n0::/\n");
  write("mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:27 /docker/1f /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "32 31 0:29 /docker/1f /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct\n");
  EXPECT_FALSE(quota());
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(quota());
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "250000\n");
  EXPECT_EQ(quota()->threads(), 3);
  write("sys/fs/cgroup/cpu,cpuacct/cpu.stat", "nr_periods 50\nnr_throttled 20\nthrottled_time 1500000000\n");
  EXPECT_EQ(cpu_throttling(files())->periods, 50);
  EXPECT_EQ(cpu_throttling(files())->throttled, 20);
  EXPECT_DOUBLE_EQ(cpu_throttling(files())->seconds, 1.5);
}

TEST_F(Cgroup, AContainerSeesItsMount) {
  version2("/../../outside");
  write("sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(quota()->threads(), 2);
  version2("/elsewhere", "/docker/1f");
  EXPECT_EQ(quota()->threads(), 2);
  version2("/docker/1f2", "/docker/1f");
  EXPECT_EQ(quota()->threads(), 2);
  version2("/docker/1f/inner", "/docker/1f");
  write("sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota()->threads(), 1);
}

TEST_F(Cgroup, MountPointsMayHaveSpaces) {
  write("cgroup", "0::/a b\n");
  write("mountinfo", "31 23 0:28 / /my\\040cgroups rw - cgroup2 cgroup2 rw\n");
  write("my cgroups/a b/cpu.max", "100000 100000\n");
  EXPECT_EQ(quota()->threads(), 1);
}

TEST_F(Cgroup, WhatMakesNoSenseIsNoQuota) {
  EXPECT_FALSE(quota()) << "no files";
  version2("/a");
  EXPECT_FALSE(quota());
  for (const char* text :
       {"", "\n", "max\n", "100000\n", "100000 0\n", "0 100000\n", "-5 100000\n", "1e5 100000\n", "100000 100000 7",
        "99999999999999999999999 100000\n", "100000 99999999999999999999999\n", "max max\n", "x y\n"}) {
    write("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_FALSE(quota()) << text;
  }
  write("sys/fs/cgroup/a/cpu.max", "100000 100000\n" + std::string(1 << 20, ' '));
  EXPECT_FALSE(quota()) << "too long";
  for (const char* text : {"", "\n\n", "0", "0:", "0::", "::", ":::::", "31 23", " - cgroup2", "- - - - - -", "\\\\\\0"}) {
    write("cgroup", text);
    write("mountinfo", text);
    EXPECT_FALSE(quota()) << text;
    EXPECT_FALSE(cpu_throttling(files())) << text;
  }
}

TEST_F(Cgroup, ThrottlingIsThatOfGroupsWithAQuota) {
  version2("/a/b");
  write("sys/fs/cgroup/a/b/cpu.stat", "usage_usec 77\nnr_periods 1000\nnr_throttled 1000\nthrottled_usec 1\n");
  EXPECT_FALSE(cpu_throttling(files()));
  write("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
  EXPECT_EQ(cpu_throttling(files())->periods, 0);
  write("sys/fs/cgroup/a/cpu.stat", "usage_usec 77\nnr_periods 40\nnr_throttled 10\nthrottled_usec 250000\nnr_bursts x\n");
  EXPECT_EQ(cpu_throttling(files())->periods, 40);
  EXPECT_EQ(cpu_throttling(files())->throttled, 10);
  EXPECT_DOUBLE_EQ(cpu_throttling(files())->seconds, 0.25);
}

TEST_F(Cgroup, TheQuotaLimitsTheDefaultThreads) {
  version2("/a");
  write("sys/fs/cgroup/a/cpu.max", "350000 100000\n");
  const DefaultThreads limited = default_threads(100000, files());
  EXPECT_EQ(limited.threads, 4);
  EXPECT_EQ(limited.why, "the CPU quota is 3.5 cores (" + (root_ / "sys/fs/cgroup/a").native() + ")");
  EXPECT_EQ(default_threads(2, files()).threads, 2);
  EXPECT_EQ(default_threads(2, files()).why.find("quota"), std::string::npos);
}

TEST(CpuQuota, OfThisMachineIsReadable) {
  EXPECT_GT(cpu_quota().value_or(CpuQuota{1, 1, {}}).cores(), 0);
  EXPECT_GE(default_threads(usable_cores()).threads, 1);
}

}  // namespace
}  // namespace metallic::cpu
