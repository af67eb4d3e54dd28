// SPDX-License-Identifier: Apache-2.0
// The loops of the GEMM around the micro-kernel, with packing of both operands, for any arithmetic.
//
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_OPS_MATMUL_BLOCKED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_OPS_MATMUL_BLOCKED_INL_H
#undef METALLIC_OPS_MATMUL_BLOCKED_INL_H
#else
#define METALLIC_OPS_MATMUL_BLOCKED_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "ops/matmul/blocking.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

constexpr int kVecsA = static_cast<int>((kMr + kLanes - 1) / kLanes);

inline TileShape tile_shape() { return {.mr = kMr, .nr = kNr, .spill = kVecsA * kLanes}; }

// Without FMA, alpha·(a·b) + beta·c rounds three times, and for K = 1 the error bound does not allow that.
bool needs_exact_write(const OutputBlock& block) { return !HWY_NATIVE_FMA && block.k == 1 && block.beta != 0; }

// The first tile of a block of `depth` steps from `step` on.
inline RegisterTile first_tile(const OutputBlock& block, int64_t step, int64_t depth) {
  RegisterTile tile = {.depth = depth, .c_row = block.c_row, .alpha = block.alpha};
  tile.keep = step == 0 ? block.beta : 1;
  tile.exact_write = needs_exact_write(block);
  return tile;
}

// The same for a C of 16 bits: the tile accumulates f32 sums, which are scaled after the last step of K.
inline RegisterTile first_sums(int64_t step, int64_t depth) {
  return {.depth = depth, .c_row = kNr, .alpha = 1, .keep = step == 0 ? 0.0f : 1.0f};
}

// The packed weights from a step and a column of the block on.
inline const float* cells(const OutputBlock& block, int64_t step, int64_t column) {
  const int64_t j = block.column + column, of_cell = block.b.dtype == DType::bf16 ? 2 : 1;
  return static_cast<const float*>(block.b.data) + j / kPanel * (panel_elements(block.b.dtype, block.k) / of_cell) +
         step * kPanel + j % kPanel;
}

// Scales a tile of finished sums and rounds them into C at row i, column j.
inline void round_tile(const OutputBlock& block, const RegisterTile& sums, int64_t rows, int64_t i, int64_t j) {
  const RegisterTile tile = {
      .columns = sums.columns, .alpha = block.alpha, .keep = block.beta, .exact_write = needs_exact_write(block)};
  with_type(block.out_dtype, [&]<typename Out>(Out) {
    write_tile(sums.c, rows, kTileVecs, tile, static_cast<Out*>(block.c) + i * block.c_row + j, block.c_row);
  });
}

/// The arithmetic of f32: how operands are packed and multiplied. Other arithmetics have the same members.
struct F32Blocks {
  /// Steps of four bytes in k elements of K.
  static int64_t steps(int64_t k) { return k; }
  static constexpr int64_t kStepK = 1;  ///< elements of K in a step

  /// Whether the micro-kernel reads panels of packed weights in place.
  template <typename In>
  static constexpr bool kReadsPanels = std::is_same_v<In, float>;

  /// Packs `rows` rows and `depth` elements of K of A into a panel. A step has `rows` floats, or `height` if a tile needs all of
  /// its rows.
  template <typename In>
  static void pack_a(const Strided<In>& a, int64_t rows, int64_t readable, int64_t depth, int64_t, float* to) {
    pack_panel<kVecsA>(a.data, a.row, a.column, rows, readable, depth, to, rows);
  }
  /// Packs columns of B into a panel, in steps of kNr floats.
  template <typename In>
  static void pack_b(const Strided<In>& b, int64_t columns, int64_t readable, int64_t depth, float* to) {
    pack_panel<kTileVecs>(b.data, b.column, b.row, columns, readable, depth, to, kNr);
  }
  /// Packs columns of packed weights, from an element on.
  static void unpack_b(const float16_t* from, int64_t readable, int64_t depth, float* to) {
    pack_panel<kTileVecs>(from, 1, kPanel, kNr, readable, depth, to, kNr);
  }
  static void unpack_b(const bfloat16_t* from, int64_t, int64_t depth, float* to) {
    unpack_pairs<kTileVecs>(from, depth, to, kNr);
  }

  static void compute(const RegisterTile& tile, int64_t rows) {
    const auto& kernels = tile.columns > kLanes ? kMicroKernels<F32Step, 2, true, false> : kMicroKernels<F32Step, 1, true, false>;
    kernels[static_cast<size_t>(rows - 1)](tile);
  }
};

/// Computes a block of C from packed blocks of both operands, in the arithmetic of Blocks.
template <typename Blocks, typename In>
void multiply_blocks(const Strided<In>& from_a, const Strided<In>& from_b, const OutputBlock& block, const Blocking& blocking,
                     float* workspace) {
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr;
  const int64_t mc = blocking.mc, nc = blocking.nc, kc = blocking.kc, steps = Blocks::steps(block.k);
  const bool narrows = block.narrows(), in_panels = block.packed && Blocks::template kReadsPanels<In>;
  const WorkspaceLayout at = workspace_layout(blocking, block.m, steps, narrows);
  float* const packed_b = workspace + at.b;
  float* const packed_a = workspace + at.a;
  // The sums of a tile are contiguous, and a column of tiles follows from top to bottom. A single block of K needs only one tile.
  const int64_t sums_row = steps > kc ? nr : 0, sums_column = steps > kc ? block.m : 0;
  for (int64_t j0 = 0; j0 < block.n; j0 += nc)
    for (int64_t step = 0; step < steps; step += kc) {
      const int64_t block_n = std::min(nc, block.n - j0);
      const int64_t depth = std::min(kc, steps - step), k0 = step * Blocks::kStepK,
                    depth_k = std::min(depth * Blocks::kStepK, block.k - k0);
      RegisterTile tile = narrows ? first_sums(step, depth) : first_tile(block, step, depth);
      tile.a_step = mr;
      tile.b_step = in_panels ? kPanel : nr;
      for (int64_t j = 0; j < block_n && !in_panels; j += nr) {
        float* const to = packed_b + j * depth;
        if constexpr (!Blocks::template kReadsPanels<In>)
          if (block.packed) {
            const int64_t column = block.column + j0 + j;
            Blocks::unpack_b(from_b.data + packed_index(block.b.dtype, block.k, k0, column), kPanel - column % kPanel, depth_k,
                             to);
            continue;
          }
        Blocks::pack_b(Strided<In>{&from_b.at(k0, j0 + j), from_b.row, from_b.column}, std::min(nr, block_n - j),
                       block.n - j0 - j, depth_k, to);
      }
      // The packed weights that are read next: the same steps of the next columns, or the next steps of the first columns.
      const auto next_cells = [&](int64_t j) {
        return j + nr < j0 + block_n ? cells(block, step, j + nr) : cells(block, step + depth < steps ? step + depth : step, j0);
      };
      for (int64_t i0 = 0; i0 < block.m; i0 += mc) {
        const int64_t block_m = std::min(mc, block.m - i0);
        for (int64_t i = 0; i < block_m; i += mr)
          Blocks::pack_a(Strided<In>{&from_a.at(i0 + i, k0), from_a.row, from_a.column}, std::min(mr, block_m - i),
                         block.m - i0 - i, depth_k, mr, packed_a + i * depth);
        for (int64_t j = 0; j < block_n; j += nr) {
          tile.columns = std::min(nr, block_n - j);
          tile.b = in_panels ? cells(block, step, j0 + j) : packed_b + j * depth;
          for (int64_t i = 0; i < block_m; i += mr) {
            const int64_t rows = std::min(mr, block_m - i);
            tile.a = packed_a + i * depth;
            tile.ahead = in_panels && i0 + i == 0 ? next_cells(j0 + j) - tile.b : 0;
            tile.c = narrows ? workspace + at.sums + j * sums_column + (i0 + i) * sums_row
                             : static_cast<float*>(block.c) + (i0 + i) * block.c_row + j0 + j;
            Blocks::compute(tile, rows);
            if (narrows && step + depth == steps) round_tile(block, tile, rows, i0 + i, j0 + j);
          }
        }
      }
    }
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
