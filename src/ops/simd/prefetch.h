// SPDX-License-Identifier: Apache-2.0
// Prefetches into the second cache level.
#pragma once

#include <hwy/base.h>

namespace metallic {

/// Prefetches the cache line at `at` into the second level. The first level holds the data that is reused, and prefetching past
/// it is a quarter to a half faster (14336×4096 times 1, 4 and 8 columns on Zen 4: 19 → 26, 12 → 19, 11 → 16 GB/s). Always
/// inlined, because GCC drops a call to a function that does nothing but prefetch.
HWY_INLINE void prefetch_l2(const void* at) {
#if defined(__GNUC__)
  __builtin_prefetch(at, 0, 2);
#else
  static_cast<void>(at);
#endif
}

}  // namespace metallic
