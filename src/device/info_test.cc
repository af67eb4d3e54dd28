// SPDX-License-Identifier: Apache-2.0
#include "device/info.h"

#include <gtest/gtest.h>

namespace metallic {
namespace {

std::vector<std::string> of(const char* isa, bool amx = false) {
  return families({.backend = "cpu", .kind = CpuInfo{.isa = isa, .amx = amx}});
}

TEST(Device, FamiliesComeFromTheIsaTheClosestFirst) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(of("AVX3_DL", true), (Names{"x86_amx", "x86_avx512", "x86_avx2", "x86_sse"}));
  for (const char* isa : {"AVX3", "AVX3_DL", "AVX3_ZEN4"})
    EXPECT_EQ(of(isa), (Names{"x86_avx512", "x86_avx2", "x86_sse"})) << isa;
  EXPECT_EQ(of("AVX2"), (Names{"x86_avx2", "x86_sse"}));
  for (const char* isa : {"SSE2", "SSSE3", "SSE4"}) EXPECT_EQ(of(isa), Names{"x86_sse"}) << isa;
  for (const char* isa : {"SVE", "SVE2", "SVE_256", "SVE2_128"}) EXPECT_EQ(of(isa), (Names{"arm64_sve", "arm64_neon"})) << isa;
  EXPECT_EQ(of("NEON"), Names{"arm64_neon"});
  EXPECT_EQ(of("EMU128"), Names{"cpu_EMU128"});
  EXPECT_EQ(family({.backend = "cuda", .kind = CudaInfo{.sm_version = 90}}), "cuda_sm_90");
}

}  // namespace
}  // namespace metallic
