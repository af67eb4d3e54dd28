// Dot products of pairs of bf16, which AVX-512 BF16 adds to f32 lanes; a pair is 32 bits that pass for a float.
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H
#undef METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H
#else
#define METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "device/info.h"
#include "ops/element.h"

// Where a target's vectors can hold them; whether the CPU has the instruction is a fact of the device.
#undef METALLIC_BF16_DOTS
#define METALLIC_BF16_DOTS (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL)

#ifndef METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H_ONCE
#define METALLIC_KERNELS_SIMD_BF16_PAIRS_INL_H_ONCE
namespace metallic {

/// Whether kernels for the device's target may use them; asked at every choice.
inline bool has_bf16_dots(const DeviceInfo& device) { return device.cpu().bf16_dots && (device.cpu().hwy_target & (HWY_AVX3 | HWY_AVX3_DL)) != 0; }

}  // namespace metallic
#endif

#if METALLIC_BF16_DOTS
HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// sum[i] + a[2i]·b[2i] + a[2i+1]·b[2i+1]. Denormals count as 0, in and out. Highway 1.0.3 compiles for no target that has the
/// instruction, and a compiler takes an intrinsic only in functions for such a target.
template <class V>
HWY_INLINE V dot_pairs(V a, V b, V sum) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
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
