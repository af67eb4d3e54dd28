// SPDX-License-Identifier: Apache-2.0
#include "device/info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

namespace metallic {

const Library* find_library(std::span<const Library> libraries, std::string_view name) {
  const auto found = std::ranges::find(libraries, name, &Library::name);
  return found == libraries.end() ? nullptr : &*found;
}

std::string DeviceInfo::isa() const { return is_cpu() ? cpu().isa : fmt::format("sm_{}", cuda().sm_version); }

std::string fingerprint(const DeviceInfo& device) {
  const auto with_caches = [&](int cores, int64_t l1d_bytes, int64_t l2_bytes, int64_t llc_bytes) {
    return fmt::format("{}_{}_{}c_l1d{}k_l2-{}k_llc{}k", device.model, device.isa(), cores, l1d_bytes >> 10, l2_bytes >> 10,
                       llc_bytes >> 10);
  };
  // Multiprocessors and their memories take the places of cores and caches.
  std::string text =
      device.is_cpu()
          ? with_caches(device.cpu().cores, device.cpu().l1d_bytes, device.cpu().l2_bytes, device.cpu().llc_bytes)
          : with_caches(device.cuda().num_sms, device.cuda().smem_per_block, device.cuda().l2_bytes, device.cuda().l2_bytes);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!kept) c = '-';
  }
  return text;
}

std::vector<std::string> families(const DeviceInfo& device) {
  // Each with the beginning of its Highway targets' names; SSE is SSE2, SSSE3 and SSE4.
  struct Family {
    std::string_view name, isa;
  };
  constexpr std::array kX86 = {Family{"x86_avx512", "AVX3"}, Family{"x86_avx2", "AVX2"}, Family{"x86_sse", "SS"}};
  constexpr std::array kArm64 = {Family{"arm64_sve", "SVE"}, Family{"arm64_neon", "NEON"}};
  const std::string isa = device.isa();
  std::vector<std::string> found;
  const auto from_own = [&](std::span<const Family> chain) {
    for (const Family& family : chain)
      if (!found.empty() || isa.starts_with(family.isa)) found.emplace_back(family.name);
  };
  from_own(kX86);
  if (!found.empty() && device.is_cpu() && device.cpu().amx) found.insert(found.begin(), "x86_amx");
  if (found.empty()) from_own(kArm64);
  if (found.empty()) found.push_back(fmt::format("{}_{}", device.backend, isa));
  return found;
}

std::string family(const DeviceInfo& device) { return families(device).front(); }

}  // namespace metallic
