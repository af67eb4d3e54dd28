// The passes over a piece of a row that the softmax variants are made of: maximum, sum of exponentials, scaling.
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
#include "kernels/simd/partial-inl.h"

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
template <int kUnroll>
HWY_INLINE float row_max(const float* HWY_RESTRICT x, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto lowest = hn::Set(d, kMinusInfinity);
  using V = hn::Vec<decltype(d)>;
  V most[kUnroll];
  for (V& v : most) v = lowest;
  size_t i = 0;
  for (; i + kUnroll * lanes <= count; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) most[u] = hn::Max(most[u], hn::LoadU(d, x + i + u * lanes));
  for (; i + lanes <= count; i += lanes) most[0] = hn::Max(most[0], hn::LoadU(d, x + i));
  if (i < count) most[0] = hn::Max(most[0], load_partial_or(d, x + i, count - i, lowest));
  return hn::GetLane(hn::MaxOfLanes(d, fold(most, [](V a, V b) { return hn::Max(a, b); })));
}

/// Σ exp(x[i] − max), and with kStore the terms themselves in y.
template <int kUnroll, bool kStore>
HWY_INLINE float row_exp_sum(const float* x, float max, float* y, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, max);
  using V = hn::Vec<decltype(d)>;
  V sum[kUnroll];
  for (V& v : sum) v = hn::Zero(d);
  size_t i = 0;
  for (; i + kUnroll * lanes <= count; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) {
      const V e = exp_nonpositive(d, hn::Sub(hn::LoadU(d, x + i + u * lanes), shift));
      if constexpr (kStore) hn::StoreU(e, d, y + i + u * lanes);
      sum[u] = hn::Add(sum[u], e);
    }
  for (; i + lanes <= count; i += lanes) {
    const V e = exp_nonpositive(d, hn::Sub(hn::LoadU(d, x + i), shift));
    if constexpr (kStore) hn::StoreU(e, d, y + i);
    sum[0] = hn::Add(sum[0], e);
  }
  if (i < count) {
    const V e = exp_nonpositive(d, hn::Sub(load_partial(d, x + i, count - i), shift));
    if constexpr (kStore) store_partial(e, d, y + i, count - i);
    sum[0] = hn::Add(sum[0], hn::IfThenElseZero(hn::FirstN(d, count - i), e));
  }
  return hn::GetLane(hn::SumOfLanes(d, fold(sum, [](V a, V b) { return hn::Add(a, b); })));
}

/// y[i] *= factor.
HWY_INLINE void row_scale(float* HWY_RESTRICT y, float factor, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto scale = hn::Set(d, factor);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, y + i), scale), d, y + i);
  if (i < count) store_partial(hn::Mul(load_partial(d, y + i, count - i), scale), d, y + i, count - i);
}

/// y[i] = exp(x[i] − max)·factor.
HWY_INLINE void row_exp_scale(const float* x, float max, float factor, float* y, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  const auto shift = hn::Set(d, max), scale = hn::Set(d, factor);
  const auto result = [&](hn::Vec<decltype(d)> v) HWY_ATTR { return hn::Mul(exp_nonpositive(d, hn::Sub(v, shift)), scale); };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(result(hn::LoadU(d, x + i)), d, y + i);
  if (i < count) store_partial(result(load_partial(d, x + i, count - i)), d, y + i, count - i);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
