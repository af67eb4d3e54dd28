// SPDX-License-Identifier: Apache-2.0
#include "device/cpu/amx.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace metallic::cpu {
namespace {

constexpr int kUnasked = -1;
std::atomic<int> answer = kUnasked;  // 0, or an errno

#if defined(__x86_64__) && defined(SYS_arch_prctl)
constexpr int kSupported = 0x1021, kRequest = 0x1023, kTileData = 18;  // ARCH_GET_XCOMP_SUPP and so on; Linux 5.16

struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Leaf leaf(unsigned number, unsigned part = 0) {
  Leaf leaf;
  __get_cpuid_count(number, part, &leaf.a, &leaf.b, &leaf.c, &leaf.d);  // zeros if the CPU has no such leaf
  return leaf;
}

// Our kernels use palette 1 with eight registers of 16 rows of 64 bytes. A hypervisor may show the instructions and no palette.
bool has_tiles() {
  constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;
  if (const unsigned features = leaf(7).d; (features & kAmxBf16) == 0 || (features & kAmxTile) == 0) return false;
  if (leaf(0x1D).a < 1) return false;
  const Leaf palette = leaf(0x1D, 1);
  const unsigned total_bytes = palette.a & 0xFFFF, row_bytes = palette.b & 0xFFFF, registers = palette.b >> 16,
                 rows = palette.c & 0xFFFF;
  return total_bytes >= 8192 && row_bytes >= 64 && registers >= 8 && rows >= 16;
}

// Whether the operating system saves the registers when it switches threads.
bool saves_tiles() {
  constexpr unsigned kXsave = 1u << 27, kTiles = 3u << 17;
  if ((leaf(1).c & kXsave) == 0) return false;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  uint64_t supported = 0;
  return (low & kTiles) == kTiles && syscall(SYS_arch_prctl, kSupported, &supported) == 0 && (supported >> kTileData & 1) != 0;
}

int ask() { return syscall(SYS_arch_prctl, kRequest, kTileData) == 0 ? 0 : errno; }
#else
bool has_tiles() { return false; }
bool saves_tiles() { return false; }
int ask() { return ENOSYS; }
#endif

}  // namespace

bool has_amx() { return has_tiles() && saves_tiles(); }

// Threads that ask at the same time get the same answer, and so would a second question.
Status request_amx() {
  if (answer == kUnasked) answer = ask();
  if (const auto refusal = amx_refusal()) return fail(Code::unsupported, "{}", *refusal);
  return {};
}

std::optional<std::string> amx_refusal() {
  const int error = answer.load(std::memory_order_relaxed);
  if (error == kUnasked || error == 0) return std::nullopt;
  return fmt::format("Linux denies this process AMX tiles: {}",
                     error == ENOSPC ? "the alternate signal stack of a thread has no room for them" : std::strerror(error));
}

}  // namespace metallic::cpu
