// SPDX-License-Identifier: Apache-2.0
// Compiles a file for AVX-512 and the fallback only; for kernels of AVX-512 BF16. Include it before <hwy/foreach_target.h>.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX2)
