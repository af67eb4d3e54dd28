// SPDX-License-Identifier: Apache-2.0
// Packs panels for the micro-kernels: rows in either direction and any storage type, into steps of contiguous floats.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_PACK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_PACK_INL_H
#undef METALLIC_OPS_MATMUL_PACK_INL_H
#else
#define METALLIC_OPS_MATMUL_PACK_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "ops/element.h"
#include "ops/matmul/packed.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

// Transposes the 4×4 matrix in each 128-bit block of four vectors.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void transpose_blocks(D d, V (&r)[4]) {
  const hn::RepartitionToWide<D> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r[0], r[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r[2], r[3]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r[0], r[1]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r[2], r[3]));
  r[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  r[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  r[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  r[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}

// Elements 4·i … 4·i + 3 of the result are the four at rows[4·i] + k.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load_blocks(D d, const T* const* rows, int64_t k) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return hn::LoadU(d, rows[0] + k);
  } else {
    const hn::Half<D> half;
    return hn::Combine(d, load_blocks(half, rows + hn::MaxLanes(half), k), load_blocks(half, rows, k));
  }
}

#endif

/// to[k·step + i] = from[i·across + k·along] for i in [0, width), k in [0, depth); `across` or `along` is 1.
/// A step is written as kVecs whole vectors. Its floats in [width, kVecs·lanes) are arbitrary finite or input data. A later step
/// overwrites the spill of an earlier one, and the last step spills up to kVecs·lanes − step floats past the panel. `readable` ≥
/// width rows may be read; if they are at least kVecs·lanes, whole vectors are.
template <int kVecs, typename T>
HWY_INLINE void pack_panel(const T* HWY_RESTRICT from, int64_t across, int64_t along, int64_t width, int64_t readable,
                           int64_t depth, float* HWY_RESTRICT to, int64_t step) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  if (across == 1) {
    if (readable >= kVecs * kLanes) {
      for (int64_t k = 0; k < depth; ++k, from += along, to += step) {
        // Each step reads a short piece of another page, which the hardware prefetchers do not foresee.
        hwy::Prefetch(from + (k + 8 < depth ? 8 * along : 0));
        for (int v = 0; v < kVecs; ++v) hn::StoreU(load_f32(d, from + v * kLanes), d, to + v * kLanes);
      }
      return;
    }
    for (int64_t k = 0; k < depth; ++k, from += along, to += step)
      for (int v = 0; v < kVecs; ++v) {
        const int64_t rest = std::clamp<int64_t>(width - v * kLanes, 0, kLanes);
        hn::StoreU(load_f32_partial(d, from + std::min<int64_t>(v * kLanes, width), static_cast<size_t>(rest)), d,
                   to + v * kLanes);
      }
    return;
  }
  int64_t k = 0;
#if HWY_TARGET != HWY_SCALAR
  // Rows that do not exist are read as the last one, because their results are not used.
  using Bits = std::conditional_t<std::is_same_v<T, float>, float, uint16_t>;
  const Bits* rows[kVecs * kLanes];
  for (int64_t i = 0; i < kVecs * kLanes; ++i) rows[i] = reinterpret_cast<const Bits*>(from + std::min(i, width - 1) * across);
  for (; k + 4 <= depth; k += 4) {
    hn::Vec<decltype(d)> steps[kVecs][4];
    for (int v = 0; v < kVecs; ++v) {
      for (int j = 0; j < 4; ++j) {
        const auto bits = load_blocks(hn::Rebind<Bits, decltype(d)>(), rows + v * kLanes + j, k);
        if constexpr (std::is_same_v<T, float>)
          steps[v][j] = bits;
        else
          steps[v][j] = widen(d, T(), bits);
      }
      transpose_blocks(d, steps[v]);
    }
    for (int j = 0; j < 4; ++j)
      for (int v = 0; v < kVecs; ++v) hn::StoreU(steps[v][j], d, to + (k + j) * step + v * kLanes);
  }
#endif
  for (; k < depth; ++k) {
    for (int64_t i = 0; i < width; ++i) to[k * step + i] = to_float(from[i * across + k * along]);
    for (int64_t i = width; i < step; ++i) to[k * step + i] = 0;
  }
}

/// to[k·step + i] = element (k, i) of a panel of packed weights in pairs, for k in [0, depth) and kVecs whole vectors of i.
/// `from` is the pair of k = 0 and i = 0.
template <int kVecs>
HWY_INLINE void unpack_pairs(const bfloat16_t* HWY_RESTRICT from, int64_t depth, float* HWY_RESTRICT to, int64_t step) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  for (int64_t k = 0; k < depth; k += 2, from += 2 * kPanel, to += 2 * step)
    for (int64_t v = 0; v < kVecs; ++v) {
      const auto pairs = hn::BitCast(du, hn::LoadU(d, reinterpret_cast<const float*>(from) + v * kLanes));
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(pairs)), d, to + v * kLanes);
      if (k + 1 < depth) hn::StoreU(hn::BitCast(d, hn::And(pairs, hn::Set(du, 0xffff0000u))), d, to + step + v * kLanes);
    }
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
