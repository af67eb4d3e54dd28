// SPDX-License-Identifier: Apache-2.0
// Finds the folders of this process's control groups, and reads cpu.max or cpu.cfs_* and cpu.stat in each.
#include "device/cpu/cgroup.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>
#include <utility>

#include "base/file.h"

namespace metallic::cpu {
namespace {

// A machine with thousands of containers has as many lines of mountinfo.
constexpr size_t kMostMountinfo = 4 << 20, kMostText = 64 << 10;
constexpr int kDeepest = 128;  // folders from a group to its mount point
constexpr int64_t kMostUs = int64_t{1} << 50;

std::string_view cut(std::string_view& text, char end) {
  const std::string_view word = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), word.size() + 1));
  return word;
}

std::string text_of(const std::filesystem::path& file) { return read_system_file(file, kMostText).value_or(std::string()); }

// A positive whole number, or nothing: "max" and -1 say that there is no quota.
std::optional<int64_t> positive(std::string_view text) {
  text = cut(text, '\n');
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0 || number > kMostUs) return std::nullopt;
  return number;
}

// mountinfo writes a space, tab, newline or backslash in a path as \ and three octal digits.
std::string unescaped(std::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) { return at < text.size() && text[at] >= '0' && text[at] <= '7' ? text[at] - '0' : -1; };
    if (text[i] == '\\' && digit(i + 1) >= 0 && digit(i + 2) >= 0 && digit(i + 3) >= 0) {
      path += static_cast<char>(64 * digit(i + 1) + 8 * digit(i + 2) + digit(i + 3));
      i += 3;
    } else {
      path += text[i];
    }
  }
  return path;
}

bool lists(std::string_view words, std::string_view word) {
  while (!words.empty())
    if (cut(words, ',') == word) return true;
  return false;
}

// A mounted hierarchy: the group that is its root, and where it is mounted.
struct Mount {
  std::string root, point;
};

// The mount of version 2, or of the hierarchy of version 1 that has the cpu controller.
std::optional<Mount> find_mount(std::string_view mountinfo, bool version2) {
  // 31 23 0:28 /docker/1f /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
  while (!mountinfo.empty()) {
    std::string_view line = cut(mountinfo, '\n');
    for (int skipped = 0; skipped < 3; ++skipped) cut(line, ' ');
    const std::string_view root = cut(line, ' '), point = cut(line, ' ');
    const size_t separator = line.find(" - ");
    if (separator == line.npos) continue;
    line.remove_prefix(separator + 3);
    const std::string_view type = cut(line, ' ');
    cut(line, ' ');
    if (version2 ? type == "cgroup2" : type == "cgroup" && lists(line, "cpu")) return Mount{unescaped(root), unescaped(point)};
  }
  return std::nullopt;
}

// The group's path below the mount point. A container may see a path that leads out of what is mounted for it; the mount point is
// then its own group.
std::filesystem::path below(const Mount& mount, std::string_view group) {
  const std::filesystem::path whole(group);
  if (std::ranges::find(whole, "..") != whole.end()) return {};
  if (mount.root == "/") return whole.relative_path();
  if (!group.starts_with(mount.root)) return {};
  group.remove_prefix(mount.root.size());
  if (!group.empty() && group.front() != '/') return {};
  return std::filesystem::path(group).relative_path();
}

// Calls visit(folder, version2) for the group of this process and for each above it, up to the mount point.
template <typename Visit>
void each_group(const CgroupFiles& files, const Visit& visit) {
  const auto mountinfo = read_system_file(files.mountinfo, kMostMountinfo);
  if (!mountinfo) return;
  const std::string cgroup = text_of(files.cgroup);
  // 1:cpu,cpuacct:/docker/1f, or 0::/system.slice/a.service in version 2
  for (std::string_view rest = cgroup; !rest.empty();) {
    std::string_view group = cut(rest, '\n');
    const bool version2 = cut(group, ':') == "0";
    const std::string_view controllers = cut(group, ':');
    if (!version2 && !lists(controllers, "cpu")) continue;
    const auto mount = find_mount(*mountinfo, version2);
    if (!mount) continue;
    const std::filesystem::path point = files.root / std::filesystem::path(mount->point).relative_path();
    std::filesystem::path relative = below(*mount, group);
    for (int depth = 0; depth < kDeepest; ++depth) {
      visit(relative.empty() ? point : point / relative, version2);
      if (relative.empty()) break;
      relative = relative.parent_path();
    }
  }
}

std::optional<CpuQuota> quota_of(const std::filesystem::path& group, bool version2) {
  const std::string first = text_of(group / (version2 ? "cpu.max" : "cpu.cfs_quota_us"));
  std::string_view rest = first;
  const auto quota = positive(version2 ? cut(rest, ' ') : rest);
  const auto period = positive(version2 ? std::string(rest) : text_of(group / "cpu.cfs_period_us"));
  if (!quota || !period) return std::nullopt;
  return CpuQuota{*quota, *period, group};
}

void add_throttling(const std::filesystem::path& group, CpuThrottling& sum) {
  const std::string text = text_of(group / "cpu.stat");
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = cut(rest, '\n');
    const std::string_view key = cut(line, ' ');
    int64_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    if (error != std::errc() || count < 0) continue;
    if (key == "nr_periods") sum.periods += std::min(count, kMostUs);
    if (key == "nr_throttled") sum.throttled += std::min(count, kMostUs);
    if (key == "throttled_usec") sum.seconds += static_cast<double>(count) * 1e-6;  // version 2
    if (key == "throttled_time") sum.seconds += static_cast<double>(count) * 1e-9;  // version 1
  }
}

}  // namespace

int CpuQuota::threads() const {
  const int64_t whole = quota_us / period_us + (quota_us % period_us != 0);
  return static_cast<int>(std::clamp<int64_t>(whole, 1, std::numeric_limits<int>::max()));
}

std::optional<CpuQuota> cpu_quota(const CgroupFiles& files) {
  std::optional<CpuQuota> tightest;
  each_group(files, [&](const std::filesystem::path& group, bool version2) {
    if (auto quota = quota_of(group, version2); quota && (!tightest || quota->cores() < tightest->cores()))
      tightest = std::move(quota);
  });
  return tightest;
}

std::optional<CpuThrottling> cpu_throttling(const CgroupFiles& files) {
  std::optional<CpuThrottling> sum;
  each_group(files, [&](const std::filesystem::path& group, bool version2) {
    if (!quota_of(group, version2)) return;
    if (!sum) sum.emplace();
    add_throttling(group, *sum);
  });
  return sum;
}

}  // namespace metallic::cpu
