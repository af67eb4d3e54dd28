// SPDX-License-Identifier: Apache-2.0
// The micro-kernel of the GEMM: a register tile of kRows × kVecs vectors of C is accumulated along K.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_TILE_INL_H
#undef METALLIC_OPS_MATMUL_TILE_INL_H
#else
#define METALLIC_OPS_MATMUL_TILE_INL_H
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "ops/element.h"
#include "ops/matmul/pack-inl.h"
#include "ops/simd/partial-inl.h"
#include "ops/simd/prefetch.h"
#include "ops/simd/storage-inl.h"

#ifndef METALLIC_OPS_MATMUL_TILE_INL_H_ONCE
#define METALLIC_OPS_MATMUL_TILE_INL_H_ONCE
namespace metallic::matmul {

/// The arguments of the micro-kernel: one tile of C and its operands.
struct RegisterTile {
  int64_t depth;          ///< steps along K, of four bytes: a float or a pair of bf16
  const float* a;         ///< element (row i, step k) is at i·a_row + k·a_step
  int64_t a_row, a_step;  ///< unused if A is packed
  const float* b;         ///< row k is at k·b_step
  int64_t b_step;
  int64_t ahead = 0;  ///< prefetch distance in B, in floats
  float* c;
  int64_t c_row;
  int64_t columns;  ///< how many of the tile's columns exist
  float alpha;
  float keep;        ///< the factor of C's old value, which is not read if this is 0
  bool exact_write;  ///< whether the epilogue computes in double precision
};

}  // namespace metallic::matmul
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;
using namespace ::metallic::HWY_NAMESPACE;

using Lane = hn::ScalableTag<float>;
constexpr int64_t kLanes = hn::MaxLanes(Lane());

// The tile is two vectors wide. Its height fills the registers beside two vectors of B and one broadcast of A: 28 + 3 of the 32
// registers of AVX-512, 12 + 3 of 16 elsewhere.
constexpr int kTileVecs = 2;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
constexpr int kMr = 14;
#elif HWY_TARGET == HWY_SCALAR
constexpr int kMr = 4;
#else
constexpr int kMr = 6;
#endif
constexpr int64_t kNr = kTileVecs * kLanes;

/// The epilogue for accumulators in memory, at the edges of C and for 16-bit or exact results: c = alpha·sums + keep·c, rounded
/// to T. A row has `vecs` vectors, of which `tile.columns` floats exist.
template <typename T>
HWY_NOINLINE void write_tile(const float* sums, int64_t rows, int64_t vecs, const RegisterTile& tile, T* c, int64_t c_row) {
  const Lane d;
  const auto alpha = hn::Set(d, tile.alpha), keep = hn::Set(d, tile.keep);
  for (int64_t i = 0; i < rows; ++i, sums += vecs * kLanes, c += c_row) {
    if (tile.exact_write) {
      for (int64_t j = 0; j < tile.columns; ++j)
        c[j] = from_double<T>(static_cast<double>(tile.alpha) * sums[j] + static_cast<double>(tile.keep) * to_float(c[j]));
      continue;
    }
    for (int64_t j = 0; j < tile.columns; j += kLanes) {
      const auto lanes = static_cast<size_t>(std::min(kLanes, tile.columns - j));
      const bool whole = lanes == kLanes;
      auto result = hn::Mul(alpha, hn::Load(d, sums + j));
      if (tile.keep != 0) {
        const auto old = whole ? load_f32(d, c + j) : load_f32_partial(d, c + j, lanes);
        result = hn::MulAdd(alpha, hn::Load(d, sums + j), hn::Mul(keep, old));
      }
      whole ? store_f32(result, d, c + j) : store_f32_partial(result, d, c + j, lanes);
    }
  }
}

/// A step of K in f32: one float of A times a vector of B.
struct F32Step {
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return hn::MulAdd(a, b, sum);
  }
};

// kPacked: A is a panel, so columns of kRows floats are contiguous. kPartial: the last vector of a row of B may be partial.
template <typename Step, int kRows, int kVecs, bool kPacked, bool kPartial>
void micro_kernel(const RegisterTile& tile) {
  const Lane d;
  using V = hn::Vec<Lane>;
  const float* HWY_RESTRICT a = tile.a;
  const float* HWY_RESTRICT b = tile.b;
  const int64_t a_row = kPacked ? 1 : tile.a_row, a_step = kPacked ? kRows : tile.a_step, b_step = tile.b_step;
  const auto last = static_cast<size_t>(tile.columns - (kVecs - 1) * kLanes);
  // C was used long ago; the prefetch completes during the loop.
  for (int i = 0; i < kRows; ++i)
    for (int v = 0; v < kVecs; ++v) hwy::Prefetch(tile.c + i * tile.c_row + (v * kLanes < tile.columns ? v * kLanes : 0));
  V sum[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) sum[i][v] = hn::Zero(d);
  for (int64_t k = 0; k < tile.depth; ++k) {
    V row[kVecs];
    if constexpr (kPacked)
      for (int64_t line = 0; line < kVecs * kLanes; line += 16) prefetch_l2(b + tile.ahead + line);
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v)
      row[v] = kPartial && v == kVecs - 1 ? load_partial(d, b + v * kLanes, last) : hn::LoadU(d, b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const V scale = hn::Set(d, a[i * a_row]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) sum[i][v] = Step::multiply_add(scale, row[v], sum[i][v]);
    }
    a += a_step;
    b += b_step;
  }
  if (tile.columns < kVecs * kLanes || tile.exact_write) {
    HWY_ALIGN float sums[kRows * kVecs * kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) hn::Store(sum[i][v], d, sums + (i * kVecs + v) * kLanes);
    return write_tile(sums, kRows, kVecs, tile, tile.c, tile.c_row);
  }
  const V alpha = hn::Set(d, tile.alpha), keep = hn::Set(d, tile.keep);
  float* HWY_RESTRICT c = tile.c;
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      V result = hn::Mul(alpha, sum[i][v]);
      if (tile.keep != 0) result = hn::MulAdd(alpha, sum[i][v], hn::Mul(keep, hn::LoadU(d, c + v * kLanes)));
      hn::StoreU(result, d, c + v * kLanes);
    }
    c += tile.c_row;
  }
}

template <typename Step, int kVecs, bool kPacked, bool kPartial, int... kRows>
constexpr auto micro_kernels(std::integer_sequence<int, kRows...>) {
  return std::array{&micro_kernel<Step, kRows + 1, kVecs, kPacked, kPartial>...};
}

/// The micro-kernel for a tile by its rows − 1. Vectors of one lane are never partial.
template <typename Step, int kVecs, bool kPacked, bool kPartial>
constexpr auto kMicroKernels =
    micro_kernels<Step, kVecs, kPacked, kPartial && (kLanes > 1)>(std::make_integer_sequence<int, kMr>());

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
