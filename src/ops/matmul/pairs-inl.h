// SPDX-License-Identifier: Apache-2.0
// The arithmetic of bf16 pairs for the GEMM: two neighbours in K form a step of 32 bits, which is passed as a float. A file
// includes bf16_pairs-inl.h before this header and any other -inl.h.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_PAIRS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_PAIRS_INL_H
#undef METALLIC_OPS_MATMUL_PAIRS_INL_H
#else
#define METALLIC_OPS_MATMUL_PAIRS_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "ops/simd/bf16_pairs-inl.h"

#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/contract.h"

#if METALLIC_BF16_DOTS
HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

// Interleaves two rows of `width` neighbours along M or N to one row of pairs.
template <int kVecs>
void interleave_rows(const bfloat16_t* from, int64_t along, int64_t width, int64_t readable, int64_t depth, float* to,
                     int64_t step) {
  HWY_ALIGN bfloat16_t stage[2][kVecs * kLanes] = {};
  const bool whole = readable >= kVecs * kLanes;
  for (int64_t k = 0; k < depth; k += 2, from += 2 * along, to += step) {
    const bfloat16_t* rows[2] = {from, from + along};
    // Each step reads two short pieces of other pages, which the hardware prefetchers do not foresee.
    for (const bfloat16_t* row : rows) hwy::Prefetch(row + (k + 16 < depth ? 16 * along : 0));
    if (!whole || k + 2 > depth)
      for (int64_t i = 0; i < 2; ++i) {
        const int64_t count = k + i < depth ? std::min(width, kVecs * kLanes) : 0;
        if (count > 0) std::memcpy(stage[i], rows[i], static_cast<size_t>(count) * sizeof(bfloat16_t));
        std::fill(stage[i] + count, stage[i] + kVecs * kLanes, bfloat16_t{});
        rows[i] = stage[i];
      }
    for (int64_t v = 0; v < kVecs * kLanes; v += kLanes)
      hn::StoreU(interleave_pairs(Lane(), rows[0] + v, rows[1] + v), Lane(), to + v);
  }
}

// Neighbours along K are pairs already. Transposes four whole pairs of all rows at a time.
template <int kVecs>
void transpose_rows(const bfloat16_t* from, int64_t across, int64_t width, int64_t depth, float* to, int64_t step) {
  const float* rows[kVecs * kLanes];  // rows that do not exist are read as the last one
  for (int64_t i = 0; i < kVecs * kLanes; ++i) rows[i] = reinterpret_cast<const float*>(from + std::min(i, width - 1) * across);
  int64_t pair = 0;
  for (; 2 * (pair + 4) <= depth; pair += 4) {
    hn::Vec<Lane> steps[kVecs][4];
    for (int64_t v = 0; v < kVecs; ++v) {
      for (int64_t j = 0; j < 4; ++j) steps[v][j] = load_blocks(Lane(), rows + v * kLanes + j, pair);
      transpose_blocks(Lane(), steps[v]);
    }
    for (int64_t j = 0; j < 4; ++j)
      for (int64_t v = 0; v < kVecs; ++v) hn::StoreU(steps[v][j], Lane(), to + (pair + j) * step + v * kLanes);
  }
  for (; 2 * pair < depth; ++pair)
    for (int64_t i = 0; i < step; ++i) {
      bfloat16_t both[2] = {};
      for (int64_t j = 0; i < width && j < std::min<int64_t>(2, depth - 2 * pair); ++j) both[j] = from[i * across + 2 * pair + j];
      to[pair * step + i] = std::bit_cast<float>(both);
    }
}

/// pack_panel for pairs: `depth` elements of K make half as many steps, and the last pair has a 0 if depth is odd.
template <int kVecs>
void pack_pairs(const bfloat16_t* from, int64_t across, int64_t along, int64_t width, int64_t readable, int64_t depth, float* to,
                int64_t step) {
  if (across == 1)
    interleave_rows<kVecs>(from, along, width, readable, depth, to, step);
  else
    transpose_rows<kVecs>(from, across, width, depth, to, step);
}

/// A step of K in pairs: a pair of A times a vector of pairs of B.
struct PairStep {
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return dot_pairs(a, b, sum);
  }
};

/// The arithmetic of pairs; see F32Blocks.
struct PairBlocks {
  static int64_t steps(int64_t k) { return ceil_div(k, 2); }
  static constexpr int64_t kStepK = 2;
  template <typename In>
  static constexpr bool kReadsPanels = true;

  static void pack_a(const Strided<bfloat16_t>& a, int64_t rows, int64_t readable, int64_t depth, int64_t, float* to) {
    pack_pairs<kVecsA>(a.data, a.row, a.column, rows, readable, depth, to, rows);
  }
  static void pack_b(const Strided<bfloat16_t>& b, int64_t columns, int64_t readable, int64_t depth, float* to) {
    pack_pairs<kTileVecs>(b.data, b.column, b.row, columns, readable, depth, to, kNr);
  }
  static void compute(const RegisterTile& tile, int64_t rows) {
    const auto& kernels =
        tile.columns > kLanes ? kMicroKernels<PairStep, 2, true, false> : kMicroKernels<PairStep, 1, true, false>;
    kernels[static_cast<size_t>(rows - 1)](tile);
  }
};

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#endif
