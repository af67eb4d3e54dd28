// SPDX-License-Identifier: Apache-2.0
// Flash attention in pairs of bf16, by the dot products of AVX-512 BF16; a file of its own, because it needs a target of its own.
#include "ops/simd/bf16_target.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sdpa/flash_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "ops/simd/bf16_pairs-inl.h"  // first: it extends the target of what follows

#include "device/cpu/isa.h"
#include "ops/matmul/pairs-inl.h"
#include "ops/sdpa/flash-inl.h"
#include "ops/sdpa/flash.h"
#include "ops/sdpa/shape.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::sdpa::HWY_NAMESPACE {
namespace {

#if METALLIC_BF16_DOTS

// The arithmetic of bf16 pairs; see F32Attention. Pairs are neighbours in head_dim for scores, and neighbouring keys for sums;
// weights are rounded to bf16.
struct PairAttention {
  using Step = matmul::HWY_NAMESPACE::PairStep;

  static int64_t steps(int64_t depth) { return ceil_div(depth, 2); }

  static void pack_queries(const QueryTile& tile, const FlashScratch& at, float* rows, float* to) {
    const int64_t head_dim = tile.shape->head_dim, row = 2 * at.key_row;
    auto* const copies = reinterpret_cast<bfloat16_t*>(rows);
    for (int64_t i = 0; i < tile.count; ++i)
      std::memcpy(copies + i * row, static_cast<const bfloat16_t*>(tile.q) + query_at(*tile.shape, tile.shape->q, tile.first + i),
                  static_cast<size_t>(head_dim) * sizeof(bfloat16_t));
    for (int64_t i = 0; i < tile.count; i += kNr)
      matmul::HWY_NAMESPACE::pack_pairs<kTileVecs>(copies + i * row, row, 1, std::min(kNr, tile.count - i), 0, head_dim,
                                                   to + i * steps(head_dim), kNr);
  }

  static void take_keys(const QueryTile& tile, const FlashScratch& at, int64_t first, int64_t count, float* scratch) {
    const SdpaShape& s = *tile.shape;
    const auto* k = static_cast<const bfloat16_t*>(tile.k) + first * s.k.row;
    for (int64_t i = 0; i < count; ++i, k += s.k.row) {
      float* const row = scratch + at.key + i * at.key_row;
      if (s.head_dim > 0) row[steps(s.head_dim) - 1] = 0;  // the last element may have no partner
      std::memcpy(row, k, static_cast<size_t>(s.head_dim) * sizeof(bfloat16_t));
    }
    const auto* v = static_cast<const bfloat16_t*>(tile.v) + first * s.v.row;
    for (int64_t j = 0; j < s.head_dim; j += kNr) {
      const int64_t width = std::min(kNr, s.head_dim - j);
      matmul::HWY_NAMESPACE::pack_pairs<kTileVecs>(v + j, 1, s.v.row, width, s.head_dim - j, count,
                                                   scratch + at.value + j * tile.extent.keys, kNr);
    }
  }

  // Packs `keys` rows of weights in place, to half as many rows of pairs.
  static void pack_weights(float* weights, int64_t stride, int64_t keys) {
    const Lane d;
    const hn::RebindToUnsigned<Lane> du;
    const auto rounded = [&](V x) HWY_ATTR {
      const auto bits = hn::BitCast(du, x);
      const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
      return hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu)));
    };
    for (int64_t key = 0; key < keys; key += 2)
      for (int64_t v = 0; v < kNr; v += kLanes) {
        const float* const from = weights + key * stride + v;
        const V low = hn::Load(d, from), high = key + 1 < keys ? hn::Load(d, from + stride) : hn::Zero(d);
        const auto both = hn::Or(hn::ShiftRight<16>(rounded(low)), hn::And(rounded(high), hn::Set(du, 0xffff0000u)));
        hn::Store(hn::BitCast(d, both), d, weights + key / 2 * stride + v);
      }
  }
};

AttendTile find_attend() { return &attend<PairAttention>; }

#else
AttendTile find_attend() { return nullptr; }
#endif

}  // namespace
}  // namespace metallic::sdpa::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::sdpa {
namespace {

HWY_EXPORT(find_attend);

}  // namespace

AttendTile attend_in_pairs(int64_t isa_bit) { return cpu::pick(HWY_DISPATCH_TABLE(find_attend), isa_bit)(); }

}  // namespace metallic::sdpa
#endif
