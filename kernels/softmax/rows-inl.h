// The passes over a piece of a row that the softmax variants are made of: maximum, sum of exponentials, scaling; in f32,
// from and to any storage.
#if defined(METALLIC_KERNELS_SOFTMAX_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_SOFTMAX_ROWS_INL_H
#undef METALLIC_KERNELS_SOFTMAX_ROWS_INL_H
#else
#define METALLIC_KERNELS_SOFTMAX_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <limits>

#include "kernels/simd/exp-inl.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Folds kUnroll accumulators pairwise, always in the same order.
template <int kUnroll, class V, class Fold>
HWY_INLINE V fold(V (&accumulators)[kUnroll], const Fold& combine) {
  for (int width = kUnroll / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) accumulators[i] = combine(accumulators[i], accumulators[i + width]);
  return accumulators[0];
}

/// The largest of x[0, count); −∞ for none. NaNs may be passed over: the sum of exponentials finds them.
template <int kUnroll, typename In>
HWY_INLINE float row_max(const In* x, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto lowest = hn::Set(d, kMinusInfinity);
  using V = hn::Vec<decltype(d)>;
  V most[kUnroll];
  for (V& v : most) v = lowest;
  size_t i = 0;
  for (; i + kUnroll * lanes <= count; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) most[u] = hn::Max(most[u], load_f32(d, x + i + u * lanes));
  for (; i + lanes <= count; i += lanes) most[0] = hn::Max(most[0], load_f32(d, x + i));
  if (i < count) {
    const V rest = load_f32_partial(d, x + i, count - i);
    most[0] = hn::Max(most[0], hn::IfThenElse(hn::FirstN(d, count - i), rest, lowest));
  }
  return hn::GetLane(hn::MaxOfLanes(d, fold(most, [](V a, V b) { return hn::Max(a, b); })));
}

/// exp(scale·(x − max)). The difference is scaled, not scale·max subtracted: the largest x then gives exactly 1 on every target
/// however large it is, where a fused x·scale − fl(max·scale) misses 0 by up to half a place of max·scale.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_difference(D d, V x, V max, V scale) {
  return exp_nonpositive(d, hn::Mul(hn::Sub(x, max), scale));
}

/// Σ exp(scale·(x[i] − max)), and with kStore the terms themselves in `terms`, which may be x.
template <int kUnroll, bool kStore, typename In>
HWY_INLINE float row_exp_sum(const In* x, float max, float scale, float* terms, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, max), factor = hn::Set(d, scale);
  using V = hn::Vec<decltype(d)>;
  V sum[kUnroll];
  for (V& v : sum) v = hn::Zero(d);
  size_t i = 0;
  for (; i + kUnroll * lanes <= count; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) {
      const V e = exp_difference(d, load_f32(d, x + i + u * lanes), shift, factor);
      if constexpr (kStore) store_f32(e, d, terms + i + u * lanes);
      sum[u] = hn::Add(sum[u], e);
    }
  for (; i + lanes <= count; i += lanes) {
    const V e = exp_difference(d, load_f32(d, x + i), shift, factor);
    if constexpr (kStore) store_f32(e, d, terms + i);
    sum[0] = hn::Add(sum[0], e);
  }
  if (i < count) {
    const V e = exp_difference(d, load_f32_partial(d, x + i, count - i), shift, factor);
    if constexpr (kStore) store_f32_partial(e, d, terms + i, count - i);
    sum[0] = hn::Add(sum[0], hn::IfThenElseZero(hn::FirstN(d, count - i), e));
  }
  return hn::GetLane(hn::SumOfLanes(d, fold(sum, [](V a, V b) { return hn::Add(a, b); })));
}

/// y[i] = terms[i]·factor, rounded to the type of y, which may be the same memory.
template <typename Out>
HWY_INLINE void row_scale(const float* terms, float factor, Out* y, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, factor);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) store_f32(hn::Mul(load_f32(d, terms + i), scale), d, y + i);
  if (i < count) store_f32_partial(hn::Mul(load_f32_partial(d, terms + i, count - i), scale), d, y + i, count - i);
}

/// y[i] = exp(scale·(x[i] − max))·factor, rounded to the type of y, which may be x.
template <typename In, typename Out>
HWY_INLINE void row_exp_scale(const In* x, float max, float scale, float factor, Out* y, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, max), inner = hn::Set(d, scale), outer = hn::Set(d, factor);
  const auto result = [&](hn::Vec<decltype(d)> v) HWY_ATTR { return hn::Mul(exp_difference(d, v, shift, inner), outer); };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) store_f32(result(load_f32(d, x + i)), d, y + i);
  if (i < count) store_f32_partial(result(load_f32_partial(d, x + i, count - i)), d, y + i, count - i);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
