// SPDX-License-Identifier: Apache-2.0
// Loads and stores vectors of f32 from and to f32, f16 or bf16. Stores round to nearest, ties to even, and keep NaN.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SIMD_STORAGE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SIMD_STORAGE_INL_H
#undef METALLIC_OPS_SIMD_STORAGE_INL_H
#else
#define METALLIC_OPS_SIMD_STORAGE_INL_H
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "ops/simd/partial-inl.h"

// Whether the target converts f16 in hardware. The emulation of Highway 1.0.3 handles neither infinities nor rounding.
#undef METALLIC_NATIVE_F16
#define METALLIC_NATIVE_F16 (HWY_ARCH_ARM_A64 || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2))

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// The lanes of D as 16 bits each. Both 16-bit types are loaded and stored as unsigned integers, which every target can mask.
template <class D>
using Bits16 = hn::Rebind<uint16_t, D>;

template <class D>
HWY_INLINE hn::Vec<D> widen(D d, hwy::bfloat16_t, hn::Vec<Bits16<D>> bits) {
  const hn::RebindToUnsigned<D> du;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}

template <class D>
HWY_INLINE hn::Vec<D> widen(D d, hwy::float16_t, hn::Vec<Bits16<D>> bits) {
#if METALLIC_NATIVE_F16
  const hn::Rebind<hwy::float16_t, D> dh;
  return hn::PromoteTo(d, hn::BitCast(dh, bits));
#else
  // Shifted into place, normal and denormal numbers are 2¹¹² times too small; infinities and NaN get their exponent.
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto wide = hn::PromoteTo(du, bits);
  const auto magnitude = hn::And(wide, hn::Set(du, 0x7fff));
  const auto finite = hn::BitCast(du, hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(magnitude)), hn::Set(d, 0x1p112f)));
  const auto special = hn::Gt(hn::BitCast(di, magnitude), hn::Set(di, 0x7bff));
  const auto exponent = hn::IfThenElseZero(special, hn::Set(di, 0x7f800000));
  const auto sign = hn::ShiftLeft<16>(hn::AndNot(hn::Set(du, 0x7fff), wide));
  return hn::BitCast(d, hn::Or(hn::Or(finite, sign), hn::BitCast(du, exponent)));
#endif
}

template <class D>
HWY_INLINE hn::Vec<Bits16<D>> narrow([[maybe_unused]] D d, hwy::bfloat16_t, hn::Vec<D> value) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
  const auto result = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(value)), quiet, rounded);
  return hn::DemoteTo(Bits16<D>(), hn::BitCast(di, hn::ShiftRight<16>(result)));
}

template <class D>
HWY_INLINE hn::Vec<Bits16<D>> narrow([[maybe_unused]] D d, hwy::float16_t, hn::Vec<D> value) {
#if METALLIC_NATIVE_F16
  const hn::Rebind<hwy::float16_t, D> dh;
  return hn::BitCast(Bits16<D>(), hn::DemoteTo(dh, value));
#else
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, value);
  const auto magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
  // For normal numbers, one sum changes the exponent's bias and rounds the mantissa.
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 1));
  const auto normal = hn::ShiftRight<13>(hn::Add(magnitude, hn::Add(odd, hn::Set(di, 0xfff - (112 << 23)))));
  // Below 2⁻¹⁴, adding ½ makes the FPU round to the last place of an f16.
  const auto half = hn::Set(d, 0.5f);
  const auto small = hn::Sub(hn::BitCast(di, hn::Add(hn::BitCast(d, magnitude), half)), hn::BitCast(di, half));
  const auto nan = hn::Or(hn::Set(di, 0x7e00), hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di, 0x3ff)));
  auto result = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), small, normal);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x477fffff)), hn::Set(di, 0x7c00), result);
  result = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7f800000)), nan, result);
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0x8000));
  return hn::DemoteTo(Bits16<D>(), hn::Or(result, sign));
#endif
}

/// A vector from Lanes(d) elements.
template <class D>
HWY_INLINE hn::Vec<D> load_f32(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D, typename T>
HWY_INLINE hn::Vec<D> load_f32(D d, const T* from) {
  return widen(d, T(), hn::LoadU(Bits16<D>(), reinterpret_cast<const uint16_t*>(from)));
}

/// Lanes [0, count) from memory, the others zero; touches no other memory.
template <class D>
HWY_INLINE hn::Vec<D> load_f32_partial(D d, const float* from, size_t count) {
  return load_partial(d, from, count);
}
template <class D, typename T>
HWY_INLINE hn::Vec<D> load_f32_partial(D d, const T* from, size_t count) {
  return widen(d, T(), load_partial(Bits16<D>(), reinterpret_cast<const uint16_t*>(from), count));
}

/// Writes Lanes(d) elements.
template <class D>
HWY_INLINE void store_f32(hn::Vec<D> value, D d, float* to) {
  hn::StoreU(value, d, to);
}
template <class D, typename T>
HWY_INLINE void store_f32(hn::Vec<D> value, D d, T* to) {
  hn::StoreU(narrow(d, T(), value), Bits16<D>(), reinterpret_cast<uint16_t*>(to));
}

/// Writes Lanes(d) elements by non-temporal stores if the target has them; `to` is aligned to their bytes. The writing thread
/// calls hwy::FlushStream before another thread reads them.
template <class D>
HWY_INLINE void stream_f32(hn::Vec<D> value, D d, float* to) {
  hn::Stream(value, d, to);
}
template <class D, typename T>
HWY_INLINE void stream_f32(hn::Vec<D> value, D d, T* to) {
  // Highway would write 16 bytes even if the vector has fewer.
  if constexpr (hn::MaxLanes(Bits16<D>()) * sizeof(uint16_t) >= 16)
    hn::Stream(narrow(d, T(), value), Bits16<D>(), reinterpret_cast<uint16_t*>(to));
  else
    store_f32(value, d, to);
}

/// Writes lanes [0, count) and nothing else.
template <class D>
HWY_INLINE void store_f32_partial(hn::Vec<D> value, D d, float* to, size_t count) {
  store_partial(value, d, to, count);
}
template <class D, typename T>
HWY_INLINE void store_f32_partial(hn::Vec<D> value, D d, T* to, size_t count) {
  store_partial(narrow(d, T(), value), Bits16<D>(), reinterpret_cast<uint16_t*>(to), count);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
