// SPDX-License-Identifier: Apache-2.0
// Partial loads and stores: the first `count` lanes, without touching other memory, on every target.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SIMD_PARTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SIMD_PARTIAL_INL_H
#undef METALLIC_OPS_SIMD_PARTIAL_INL_H
#else
#define METALLIC_OPS_SIMD_PARTIAL_INL_H
#endif

#include <hwy/highway.h>

#include <cstddef>

// HWY_MEM_OPS_MIGHT_FAULT leaves out the scalar target, whose masked load reads its lane for any mask.
#undef METALLIC_MASKED_OPS_MAY_FAULT
#define METALLIC_MASKED_OPS_MAY_FAULT (HWY_MEM_OPS_MIGHT_FAULT || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128)

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

/// Lanes [0, count) from memory, the others zero. Lanes go through a buffer if masked loads may fault beyond the mask.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_partial(D d, const T* HWY_RESTRICT from, size_t count) {
#if METALLIC_MASKED_OPS_MAY_FAULT
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(hn::Zero(d), d, lanes);
  for (size_t i = 0; i < count; ++i) lanes[i] = from[i];
  return hn::Load(d, lanes);
#else
  return hn::MaskedLoad(hn::FirstN(d, count), d, from);
#endif
}

/// Writes lanes [0, count) and nothing else.
template <class D, class V = hn::Vec<D>, typename T = hn::TFromD<D>>
HWY_INLINE void store_partial(V value, D d, T* HWY_RESTRICT to, size_t count) {
#if METALLIC_MASKED_OPS_MAY_FAULT
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(value, d, lanes);
  for (size_t i = 0; i < count; ++i) to[i] = lanes[i];
#else
  hn::BlendedStore(value, hn::FirstN(d, count), d, to);
#endif
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
