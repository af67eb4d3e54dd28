// Prefetching into the second cache level.
#pragma once

#include <hwy/base.h>

namespace metallic {

/// Into the second cache level: the first is full of what is used again. Worth a quarter to a half over prefetching into
/// the first level (14336×4096 times 1, 4 and 8 columns: 19 → 26, 12 → 19, 11 → 16 GB/s on Zen 4). GCC drops a call to what
/// only prefetches as one without effect, unless it is inlined before.
HWY_INLINE void prefetch_l2(const void* at) {
#if defined(__GNUC__)
  __builtin_prefetch(at, 0, 2);
#else
  static_cast<void>(at);
#endif
}

}  // namespace metallic
