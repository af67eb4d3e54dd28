// The exponential of differences to a maximum: x ≤ 0, NaN stays NaN, below 2⁻¹²⁶ the result is 0. Under 2 ULP.
#if defined(METALLIC_KERNELS_SIMD_EXP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_SIMD_EXP_INL_H
#undef METALLIC_KERNELS_SIMD_EXP_INL_H
#else
#define METALLIC_KERNELS_SIMD_EXP_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// e^x for x in [−∞, 0] or NaN. e^x = 2ⁿ·e^r with n = round(x·log₂e) and r = x − n·ln 2, ln 2 in two terms so that r is
/// exact to the last bit; e^r = 1 + r + r²·q(r), q of degree 4 fitted for least relative error (0.05 ULP of 2⁻²⁴ before
/// rounding) on |r| ≤ ln 2 / 2. Results below the least normal number are flushed to 0: making denormals costs an assist
/// of over a hundred cycles on many CPUs, and 2⁻¹²⁶ is far below the rounding of any sum of a row.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_nonpositive(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V least = hn::Set(d, -87.33654f);
  const auto vanishes = hn::Lt(x, least);  // false for NaN, which goes through the polynomial
  const V clamped = hn::IfThenElse(vanishes, least, x);

  // In this sum the last place of the mantissa is 1, so it rounds x·log₂e to n and holds n + 127 in its lowest bits.
  const V magic = hn::Set(d, 0x1.8p23f + 127);
  const V shifted = hn::MulAdd(clamped, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(shifted, magic);
  const V r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), clamped));

  V q = hn::Set(d, 0x1.6a23ce0000000p-10f);
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.123a200000000p-7f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.5558f20000000p-5f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.5554920000000p-3f));
  q = hn::MulAdd(q, r, hn::Set(d, 0x1.fffffc0000000p-2f));
  const V p = hn::Add(hn::Set(d, 1.0f), hn::MulAdd(hn::Mul(r, r), q, r));

  // n is in [−126, 0] (or comes from NaN: any scale keeps NaN), so the scale is a normal number.
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::IfThenZeroElse(vanishes, hn::Mul(p, hn::BitCast(d, exponent)));
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
