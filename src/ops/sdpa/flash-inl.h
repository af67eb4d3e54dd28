// SPDX-License-Identifier: Apache-2.0
// Flash attention of a tile of queries, for any arithmetic: an online softmax over tiles of keys, whose scores stay in cache.
// Rows of a register tile are keys and its columns queries, so maxima and sums over keys need no reduction across lanes.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_SDPA_FLASH_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_SDPA_FLASH_INL_H
#undef METALLIC_OPS_SDPA_FLASH_INL_H
#else
#define METALLIC_OPS_SDPA_FLASH_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/math.h"
#include "ops/element.h"
#include "ops/matmul/tile-inl.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/flash.h"
#include "ops/sdpa/shape.h"
#include "ops/softmax/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::sdpa::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using namespace ::metallic::HWY_NAMESPACE;
using ::metallic::matmul::RegisterTile;
using ::metallic::matmul::HWY_NAMESPACE::kLanes;
using ::metallic::matmul::HWY_NAMESPACE::kMicroKernels;
using ::metallic::matmul::HWY_NAMESPACE::kMr;
using ::metallic::matmul::HWY_NAMESPACE::kNr;
using ::metallic::matmul::HWY_NAMESPACE::kTileVecs;
using ::metallic::matmul::HWY_NAMESPACE::Lane;
using V = hn::Vec<Lane>;

static_assert(32 % kNr == 0);

// The offset of query `index` of the group in a tensor of queries.
inline int64_t query_at(const SdpaShape& s, const HeadStrides& strides, int64_t index) {
  return row_at(strides, 0, index % s.group(), index / s.group());
}

// The number of keys that a query of the tile sees.
inline int64_t visible_to(const QueryTile& tile, int64_t query) {
  return visible_keys(*tile.shape, (tile.first + query) / tile.shape->group());
}

// Rows [0, rows) of a product in register tiles of equal heights. depth(end) is the number of steps that rows before `end` need.
template <class Step, typename Depth>
void multiply(RegisterTile registers, int64_t rows, const Depth& depth) {
  const int64_t tiles = ceil_div(rows, kMr);
  for (int64_t i = 0, left = tiles; left > 0; --left) {
    const int64_t height = (rows - i + left - 1) / left;
    registers.depth = depth(i + height);
    kMicroKernels<Step, kTileVecs, false, false>[static_cast<size_t>(height - 1)](registers);
    registers.a += height * registers.a_row;
    registers.c += height * registers.c_row;
    i += height;
  }
}

// A step of the online softmax for a vector of queries: turns scores into weights relative to the largest score so far. Updates
// `max` and `total`, and sets `factor` to the factor of all earlier weights. kMasked: lane l sees the keys below visible[l].
template <bool kMasked>
void weigh(float* HWY_RESTRICT scores, int64_t stride, int64_t keys, V visible, float scale, float* HWY_RESTRICT max,
           float* HWY_RESTRICT total, float* HWY_RESTRICT factor) {
  const Lane d;
  const V lowest = hn::Set(d, kMinusInfinity), scales = hn::Set(d, scale);
  const V before = hn::Load(d, max);
  V most = before;
  for (int64_t j = 0; j < keys; ++j) {
    V score = hn::Load(d, scores + j * stride);
    if constexpr (kMasked) {
      score = hn::IfThenElse(hn::Lt(hn::Set(d, static_cast<float>(j)), visible), score, lowest);
      hn::Store(score, d, scores + j * stride);
    }
    most = hn::Max(most, score);
  }
  // If all scores so far are −∞, their weights are 0.
  const V shift = hn::IfThenElse(hn::Eq(most, lowest), hn::Zero(d), most);
  V sum = hn::Zero(d);
  for (int64_t j = 0; j < keys; ++j) {
    const V weight = exp_difference(d, hn::Load(d, scores + j * stride), shift, scales);
    hn::Store(weight, d, scores + j * stride);
    sum = hn::Add(sum, weight);
  }
  const V shrink = exp_difference(d, before, shift, scales);
  hn::Store(shrink, d, factor);
  hn::Store(hn::MulAdd(hn::Load(d, total), shrink, sum), d, total);
  hn::Store(most, d, max);
}

// Scales the sums of all earlier keys.
HWY_MAYBE_UNUSED void rescale(const QueryTile& tile, const FlashScratch& at, float* scratch) {
  const Lane d;
  for (int64_t i = 0; i < tile.count; ++i) {
    const float factor = scratch[at.factor + i];
    if (factor == 1) continue;
    float* const sum = scratch + at.sum + i * at.sum_row;
    for (int64_t j = 0; j < at.sum_row; j += kLanes) hn::Store(hn::Mul(hn::Load(d, sum + j), hn::Set(d, factor)), d, sum + j);
  }
}

/// Computes the output of a tile of queries, in the arithmetic of In.
template <class In>
void attend(const QueryTile& tile, float* scratch) {
  const SdpaShape& s = *tile.shape;
  const Lane d;
  const FlashScratch at = flash_scratch(s.head_dim, tile.extent);
  In::pack_queries(tile, at, scratch + at.sum, scratch + at.query);
  std::fill_n(scratch + at.max, tile.extent.queries, kMinusInfinity);
  std::fill_n(scratch + at.total, tile.extent.queries, 0.0f);
  // The last query sees the most keys.
  const int64_t seen = visible_to(tile, tile.count - 1);
  for (int64_t first = 0; first < seen; first += tile.extent.keys) {
    const int64_t keys = std::min(tile.extent.keys, seen - first);
    const auto seen_by = [&](int64_t query) { return std::clamp<int64_t>(visible_to(tile, query) - first, 0, keys); };
    In::take_keys(tile, at, first, keys, scratch);
    for (int64_t i = 0; i < tile.count; i += kNr) {
      const int64_t width = std::min(kNr, tile.count - i), most = seen_by(i + width - 1);
      float* const weights = scratch + at.weight + i;
      multiply<typename In::Step>({.a = scratch + at.key,
                                   .a_row = at.key_row,
                                   .a_step = 1,
                                   .b = scratch + at.query + i * In::steps(s.head_dim),
                                   .b_step = kNr,
                                   .c = weights,
                                   .c_row = tile.extent.queries,
                                   .columns = kNr,
                                   .alpha = 1},
                                  most, [&](int64_t) { return In::steps(s.head_dim); });
      const bool masked = seen_by(i) < most;
      for (int64_t v = 0; v < kNr; v += kLanes) {
        float* const of = scratch + i + v;
        if (masked) {
          HWY_ALIGN float visible[kLanes];
          for (int64_t l = 0; l < kLanes; ++l) visible[l] = static_cast<float>(seen_by(std::min(i + v + l, tile.count - 1)));
          weigh<true>(weights + v, tile.extent.queries, most, hn::Load(d, visible), s.scale, of + at.max, of + at.total,
                      of + at.factor);
        } else {
          weigh<false>(weights + v, tile.extent.queries, most, hn::Zero(d), s.scale, of + at.max, of + at.total, of + at.factor);
        }
      }
      In::pack_weights(weights, tile.extent.queries, most);
    }
    if (first > 0) rescale(tile, at, scratch);
    for (int64_t j = 0; j < s.head_dim; j += kNr)
      for (int64_t i = 0; i < tile.count; i += kNr)
        multiply<typename In::Step>({.a = scratch + at.weight + i,
                                     .a_row = 1,
                                     .a_step = tile.extent.queries,
                                     .b = scratch + at.value + j * tile.extent.keys,
                                     .b_step = kNr,
                                     .c = scratch + at.sum + i * at.sum_row + j,
                                     .c_row = at.sum_row,
                                     .columns = kNr,
                                     .alpha = 1,
                                     .keep = first > 0 ? 1.0f : 0.0f},
                                    std::min(kNr, tile.count - i), [&](int64_t end) { return In::steps(seen_by(i + end - 1)); });
  }
  with_type(tile.out_dtype, [&]<typename Out>(Out) {
    for (int64_t i = 0; i < tile.count; ++i) {
      Out* const out = static_cast<Out*>(tile.out) + query_at(s, s.out, tile.first + i);
      if (visible_to(tile, i) == 0)
        std::fill_n(out, s.head_dim, Out{});
      else
        row_scale(scratch + at.sum + i * at.sum_row, 1 / scratch[at.total + i], out, static_cast<size_t>(s.head_dim));
    }
  });
}

}  // namespace
}  // namespace metallic::sdpa::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
