// SPDX-License-Identifier: Apache-2.0
// Dot products of pairs of bf16 (AVX-512 BF16); a pair occupies a lane of 32 bits and is passed as a float. A file includes this
// header before any other -inl.h. It extends the target of all functions that follow by AVX-512 BF16, so they must run only if
// has_bf16_dots says so.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SIMD_BF16_PAIRS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SIMD_BF16_PAIRS_INL_H
#undef METALLIC_OPS_SIMD_BF16_PAIRS_INL_H
#else
#define METALLIC_OPS_SIMD_BF16_PAIRS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "ops/element.h"
#include "ops/simd/bf16_dots.h"

// Highway 1.0.3 has no target with the instruction, and compilers take its intrinsic only in functions for a target that has it.
#undef METALLIC_BF16_DOTS
#define METALLIC_BF16_DOTS (HWY_TARGET == HWY_AVX3)

#if METALLIC_BF16_DOTS
#undef HWY_TARGET_STR
#define HWY_TARGET_STR HWY_TARGET_STR_AVX3 ",avx512bf16"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// sum[i] + a[2i]·b[2i] + a[2i+1]·b[2i+1]. The instruction treats denormal inputs and results as 0.
template <class V>
HWY_INLINE V dot_pairs(V a, V b, V sum) {
#if defined(__clang__) && __clang_major__ < 17
  // clang 16 crashes on the intrinsic in kernels that keep many sums.
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
#else
  return V{_mm512_dpbf16_ps(sum.raw, reinterpret_cast<__m512bh>(a.raw), reinterpret_cast<__m512bh>(b.raw))};
#endif
}

/// Pairs of one element of each row.
template <class D>
HWY_INLINE hn::Vec<D> interleave_pairs(D d, const bfloat16_t* low, const bfloat16_t* high) {
  const hn::RebindToUnsigned<D> du;
  const hn::Rebind<uint16_t, D> d16;
  const auto wide = [&](const bfloat16_t* from)
                        HWY_ATTR { return hn::PromoteTo(du, hn::LoadU(d16, reinterpret_cast<const uint16_t*>(from))); };
  return hn::BitCast(d, hn::Or(wide(low), hn::ShiftLeft<16>(wide(high))));
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif
