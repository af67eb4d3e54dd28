// SPDX-License-Identifier: Apache-2.0
// Vector exponential for softmax: x ≤ 0, under 2 ULP, NaN stays NaN, and results below 2⁻¹²⁶ may be 0.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SIMD_EXP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SIMD_EXP_INL_H
#undef METALLIC_OPS_SIMD_EXP_INL_H
#else
#define METALLIC_OPS_SIMD_EXP_INL_H
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <iterator>

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// The larger of `least` and x, or NaN if x is NaN. Highway leaves the result of Max for NaN to the target; x86 returns the
/// second operand.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V clamp_below([[maybe_unused]] D d, V least, V x) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(least, x);
#else
  return hn::IfThenElse(hn::Lt(x, least), least, x);
#endif
}

/// Coefficients of q in e^r = 1 + r·q(r) on |r| ≤ ln 2 / 2, highest power first. A Remez exchange minimised the error in ULP of
/// the result; coefficients were rounded one by one, and the others fitted again.
#undef METALLIC_EXP_Q
#if HWY_NATIVE_FMA
#define METALLIC_EXP_Q \
  { 0x1.0e87f0p-7f, 0x1.573f10p-5f, 0x1.555d8cp-3f, 0x1.fffdb8p-2f, 0x1.ffffeep-1f }  // 1.1 ULP
#else
// 0.1 ULP, because without FMA the rounding of the products adds to the error.
#define METALLIC_EXP_Q \
  { 0x1.4edf76p-10f, 0x1.12410ap-7f, 0x1.557f1cp-5f, 0x1.555486p-3f, 0x1.ffffccp-2f, 1.0f }
#endif

/// e^x for x in [−∞, 0] or NaN; e^0 is exactly 1. Computes e^x = 2ⁿ·e^r with n = round(x·log₂e) and r = x − n·ln 2. ln 2 is split
/// in two terms, which makes r exact to the last bit. Results below 2^−126.5 are flushed to 0: a denormal costs many CPUs an
/// assist of over a hundred cycles, and it is far below the rounding error of any row's sum.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_nonpositive(D d, V x) {
  const hn::RebindToSigned<D> di;
  // At the bound n is −127, and the bits of 2ⁿ are those of 0. A clamp is one operation; a comparison and a mask are two.
  const V clamped = clamp_below(d, hn::Set(d, -88.03f), x);

  // The last place of this sum's mantissa is worth 1, so the sum rounds x·log₂e to n and holds n + 127 in its lowest bits.
  const V magic = hn::Set(d, 0x1.8p23f + 127);
  const V shifted = hn::MulAdd(clamped, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(shifted, magic);
  const V r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), clamped));

  constexpr float kQ[] = METALLIC_EXP_Q;
  V p = hn::Set(d, kQ[0]);
  for (size_t i = 1; i < std::size(kQ); ++i) p = hn::MulAdd(p, r, hn::Set(d, kQ[i]));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  return hn::Mul(p, hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
