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

std::string fingerprint(const DeviceFacts& facts) {
  std::string text = fmt::format("{}_{}_{}c_l1d{}k_l2-{}k_llc{}k", facts.model, facts.isa, facts.cores, facts.l1d_bytes >> 10,
                                 facts.l2_bytes >> 10, facts.llc_bytes >> 10);
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    if (!kept) c = '-';
  }
  return text;
}

std::vector<std::string> families(const DeviceFacts& facts) {
  // Each with the beginning of its Highway targets' names; SSE is SSE2, SSSE3 and SSE4.
  struct Family {
    std::string_view name, isa;
  };
  constexpr std::array kX86 = {Family{"x86_avx512", "AVX3"}, Family{"x86_avx2", "AVX2"}, Family{"x86_sse", "SS"}};
  constexpr std::array kArm64 = {Family{"arm64_sve", "SVE"}, Family{"arm64_neon", "NEON"}};
  std::vector<std::string> found;
  const auto from_own = [&](std::span<const Family> chain) {
    for (const Family& family : chain)
      if (!found.empty() || facts.isa.starts_with(family.isa)) found.emplace_back(family.name);
  };
  from_own(kX86);
  if (!found.empty() && facts.amx) found.insert(found.begin(), "x86_amx");
  if (found.empty()) from_own(kArm64);
  if (found.empty()) found.push_back(fmt::format("{}_{}", facts.backend, facts.isa));
  return found;
}

std::string family(const DeviceFacts& facts) { return families(facts).front(); }

}  // namespace metallic
