// SPDX-License-Identifier: Apache-2.0
// The passes of softmax over a row or a segment of one: maximum, exponentials with their sum, and scaling, in f32 on any storage.
// A pass takes whole vectors in order, then the rest. Passes over two rows can share one loop.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SOFTMAX_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SOFTMAX_ROWS_INL_H
#undef METALLIC_OPS_SOFTMAX_ROWS_INL_H
#else
#define METALLIC_OPS_SOFTMAX_ROWS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "ops/simd/exp-inl.h"
#include "ops/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

using F32 = hn::ScalableTag<float>;
using VF32 = hn::Vec<F32>;

// Reduces kUnroll accumulators pairwise, always in the same order.
template <int kUnroll, class Fold>
HWY_INLINE VF32 fold(VF32 (&accumulators)[kUnroll], const Fold& combine) {
  for (int width = kUnroll / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) accumulators[i] = combine(accumulators[i], accumulators[i + width]);
  return accumulators[0];
}

/// The largest of x[0, count), or −∞ if count is 0. It may miss NaNs, because the sum of exponentials finds them.
template <int kUnroll, typename In>
struct Maximum {
  const In* x;
  size_t count;
  VF32 most[kUnroll];

  HWY_INLINE Maximum(const In* from, size_t elements) : x(from), count(elements) {
    for (VF32& v : most) v = hn::Set(F32(), kMinusInfinity);
  }
  HWY_INLINE void whole(size_t i, int u) { most[u] = hn::Max(most[u], load_f32(F32(), x + i)); }
  HWY_INLINE void rest(size_t i) {
    const F32 d;
    const VF32 v = load_f32_partial(d, x + i, count - i);
    most[0] = hn::Max(most[0], hn::IfThenElse(hn::FirstN(d, count - i), v, hn::Set(d, kMinusInfinity)));
  }
  HWY_INLINE float result() {
    return hn::GetLane(hn::MaxOfLanes(F32(), fold(most, [](VF32 a, VF32 b) HWY_ATTR { return hn::Max(a, b); })));
  }
};

/// exp(scale·(x − max)). Scaling the difference gives exactly 1 for the largest x on every target. A fused x·scale −
/// fl(max·scale) would miss 0 by up to half an ULP of max·scale.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_difference(D d, V x, V max, V scale) {
  return exp_nonpositive(d, hn::Mul(hn::Sub(x, max), scale));
}

/// Σ exp(scale·(x[i] − max)), and the exponentials in `terms`, which may be x. With kPrefetch, the pass prefetches the elements
/// `ahead` of x: the row or segment of the next maximum.
template <int kUnroll, bool kPrefetch, typename In>
struct Exponentials {
  const In* x;
  size_t count;
  float* terms;
  int64_t ahead;
  VF32 max, scale;
  VF32 sum[kUnroll];

  HWY_INLINE Exponentials(const In* from, size_t elements, float largest, float factor, float* to, int64_t next = 0)
      : x(from), count(elements), terms(to), ahead(next), max(hn::Set(F32(), largest)), scale(hn::Set(F32(), factor)) {
    for (VF32& v : sum) v = hn::Zero(F32());
  }
  HWY_INLINE void whole(size_t i, int u) {
    // Into the second level, because in the first one it would evict the current row.
    if constexpr (kPrefetch) __builtin_prefetch(x + i + ahead, /*rw=*/0, /*locality=*/2);
    const VF32 e = exp_difference(F32(), load_f32(F32(), x + i), max, scale);
    hn::StoreU(e, F32(), terms + i);
    sum[u] = hn::Add(sum[u], e);
  }
  HWY_INLINE void rest(size_t i) {
    const F32 d;
    const VF32 e = exp_difference(d, load_f32_partial(d, x + i, count - i), max, scale);
    store_f32_partial(e, d, terms + i, count - i);
    sum[0] = hn::Add(sum[0], hn::IfThenElseZero(hn::FirstN(d, count - i), e));
  }
  HWY_INLINE float result() {
    return hn::GetLane(hn::SumOfLanes(F32(), fold(sum, [](VF32 a, VF32 b) HWY_ATTR { return hn::Add(a, b); })));
  }
};

// Elements from `y` to the first one that is aligned for a non-temporal store, at most `count`.
template <typename Out>
HWY_INLINE size_t to_alignment(const Out* y, size_t count) {
  const size_t bytes = hn::Lanes(F32()) * sizeof(Out);
  return std::min(count, (0 - reinterpret_cast<uintptr_t>(y)) % bytes / sizeof(Out));
}

template <bool kStream, typename Out>
HWY_INLINE void put(VF32 value, Out* y) {
  if constexpr (kStream)
    stream_f32(value, F32(), y);
  else
    store_f32(value, F32(), y);
}

/// y[i] = terms[i]·factor, rounded to the type of y, which may be the same memory. With kStream, the constructor writes up to the
/// first aligned element of y, and indices count from there.
template <bool kStream, typename Out>
struct Scaling {
  const float* terms;
  Out* y;
  size_t count;
  VF32 factor;

  HWY_INLINE Scaling(const float* from, float by, Out* to, size_t elements)
      : terms(from), y(to), count(elements), factor(hn::Set(F32(), by)) {
    if constexpr (kStream)
      if (const size_t head = to_alignment(y, count); head > 0) {
        partial(0, head);
        terms += head;
        y += head;
        count -= head;
      }
  }
  HWY_INLINE void whole(size_t i, int) { put<kStream>(hn::Mul(load_f32(F32(), terms + i), factor), y + i); }
  HWY_INLINE void rest(size_t i) { partial(i, count - i); }

 private:
  HWY_INLINE void partial(size_t i, size_t n) {
    store_f32_partial(hn::Mul(load_f32_partial(F32(), terms + i, n), factor), F32(), y + i, n);
  }
};

/// Runs a pass from element `i` to its end.
template <int kUnroll, class Pass>
HWY_INLINE void run_from(Pass& pass, size_t i) {
  const size_t lanes = hn::Lanes(F32());
  for (; i + kUnroll * lanes <= pass.count; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) pass.whole(i + static_cast<size_t>(u) * lanes, u);
  for (; i + lanes <= pass.count; i += lanes) pass.whole(i, 0);
  if (i < pass.count) pass.rest(i);
}

/// Runs two passes in one loop as long as both have whole vectors, then the rest of each.
template <int kUnroll, class A, class B>
HWY_INLINE void run_together(A& a, B& b) {
  const size_t lanes = hn::Lanes(F32()), both = std::min(a.count, b.count);
  size_t i = 0;
  for (; i + kUnroll * lanes <= both; i += kUnroll * lanes)
    for (int u = 0; u < kUnroll; ++u) {
      a.whole(i + static_cast<size_t>(u) * lanes, u);
      b.whole(i + static_cast<size_t>(u) * lanes, u);
    }
  run_from<kUnroll>(a, i);
  run_from<1>(b, i);
}

/// The maximum of a row.
template <int kUnroll, typename In>
HWY_INLINE float row_max(const In* x, size_t count) {
  Maximum<kUnroll, In> pass(x, count);
  run_from<kUnroll>(pass, 0);
  return pass.result();
}
/// The exponentials of a row and their sum; prefetches if `ahead` is not 0.
template <int kUnroll, typename In>
HWY_INLINE float row_exp_sum(const In* x, float max, float scale, float* terms, size_t count, int64_t ahead = 0) {
  const auto sum = [&](auto prefetches) HWY_ATTR {
    Exponentials<kUnroll, prefetches, In> pass(x, count, max, scale, terms, ahead);
    run_from<kUnroll>(pass, 0);
    return pass.result();
  };
  return ahead != 0 ? sum(std::true_type()) : sum(std::false_type());
}
template <typename Out>
HWY_INLINE void row_scale(const float* terms, float factor, Out* y, size_t count) {
  Scaling</*kStream=*/false, Out> pass(terms, factor, y, count);
  run_from<1>(pass, 0);
}

/// y[0, count) = 0.
template <bool kStream, typename Out>
HWY_INLINE void write_zeros(Out* y, size_t count) {
  if constexpr (kStream) {
    const size_t lanes = hn::Lanes(F32()), head = to_alignment(y, count);
    std::fill_n(y, head, Out{});
    y += head;
    count -= head;
    for (; count >= lanes; y += lanes, count -= lanes) put<true>(hn::Zero(F32()), y);
  }
  std::fill_n(y, count, Out{});
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
