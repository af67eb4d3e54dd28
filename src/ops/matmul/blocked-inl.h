// The blocked product of packed operands: what every GEMM of ours runs, whatever its arithmetic.
// Per-target include guard, as Highway's foreach_target needs it.
#if defined(METALLIC_KERNELS_MATMUL_BLOCKED_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef METALLIC_KERNELS_MATMUL_BLOCKED_INL_H
#undef METALLIC_KERNELS_MATMUL_BLOCKED_INL_H
#else
#define METALLIC_KERNELS_MATMUL_BLOCKED_INL_H
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

// One product has no error budget for three roundings, which is what alpha·(a·b) + beta·c takes without FMA.
bool needs_exact_write(const Part& part) { return !HWY_NATIVE_FMA && part.k == 1 && part.beta != 0; }

// The first tile of a block of `depth` steps from `step` on.
inline Tile first_tile(const Part& part, int64_t step, int64_t depth) {
  Tile tile = {.depth = depth, .c_row = part.c_row, .alpha = part.alpha};
  tile.keep = step == 0 ? part.beta : 1;
  tile.exact_write = needs_exact_write(part);
  return tile;
}

// The same where C takes 16 bits: what is added up are f32 sums, scaled when the last of K is in them.
inline Tile first_sums(int64_t step, int64_t depth) {
  return {.depth = depth, .c_row = kNr, .alpha = 1, .keep = step == 0 ? 0.0f : 1.0f};
}

// Where a tile finds packed weights, from a step and a column of the part on.
inline const float* cells(const Part& part, int64_t step, int64_t column) {
  const int64_t j = part.column + column, of_cell = part.b.dtype == DType::bf16 ? 2 : 1;
  return static_cast<const float*>(part.b.data) + j / kPanel * (panel_elements(part.b.dtype, part.k) / of_cell) + step * kPanel +
         j % kPanel;
}

// Scales a tile of finished sums and rounds them into C at row i, column j.
inline void round_tile(const Part& part, const Tile& sums, int64_t rows, int64_t i, int64_t j) {
  const Tile tile = {.columns = sums.columns, .alpha = part.alpha, .keep = part.beta, .exact_write = needs_exact_write(part)};
  with_type(part.out_dtype, [&]<typename Out>(Out) {
    write_tile(sums.c, rows, kTileVecs, tile, static_cast<Out*>(part.c) + i * part.c_row + j, part.c_row);
  });
}

/// Blocks of floats: what a block of another arithmetic has to offer too.
struct FloatBlocks {
  /// Steps of four bytes that so many elements of K make.
  static int64_t steps(int64_t k) { return k; }
  static constexpr int64_t kOfK = 1;

  /// Whether tiles read the panels of packed weights where they are.
  template <typename In>
  static constexpr bool kReadsPanels = std::is_same_v<In, float>;

  /// `rows` rows of A, `depth` elements of K, in steps of `rows` cells, or `height` of them if a tile needs all of its rows.
  template <typename In>
  static void pack_a(const Strided<In>& a, int64_t rows, int64_t readable, int64_t depth, int64_t, float* to) {
    pack_panel<kVecsA>(a.data, a.row, a.column, rows, readable, depth, to, rows);
  }
  /// The same for columns of B, in steps of kNr.
  template <typename In>
  static void pack_b(const Strided<In>& b, int64_t columns, int64_t readable, int64_t depth, float* to) {
    pack_panel<kTileVecs>(b.data, b.column, b.row, columns, readable, depth, to, kNr);
  }
  /// And for those of packed weights from an element on.
  static void unpack_b(const float16_t* from, int64_t readable, int64_t depth, float* to) {
    pack_panel<kTileVecs>(from, 1, kPanel, kNr, readable, depth, to, kNr);
  }
  static void unpack_b(const bfloat16_t* from, int64_t, int64_t depth, float* to) {
    unpack_pairs<kTileVecs>(from, depth, to, kNr);
  }

  static void compute(const Tile& tile, int64_t rows) {
    const auto& tiles = tile.columns > kLanes ? kTiles<Floats, 2, true, false> : kTiles<Floats, 1, true, false>;
    tiles[static_cast<size_t>(rows - 1)](tile);
  }
};

/// A part of C from packed blocks of both operands, in the arithmetic of Blocks.
template <typename Blocks, typename In>
void multiply_blocks(const Strided<In>& from_a, const Strided<In>& from_b, const Part& part, const Blocking& blocking,
                     float* workspace) {
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr;
  const int64_t mc = blocking.mc, nc = blocking.nc, kc = blocking.kc, steps = Blocks::steps(part.k);
  const bool narrows = part.narrows(), in_panels = part.packed && Blocks::template kReadsPanels<In>;
  const Workspace at = layout(blocking, part.m, steps, narrows);
  float* const packed_b = workspace + at.b;
  float* const packed_a = workspace + at.a;
  // The sums of a tile lie together, those of a column of tiles from top to bottom; one block of K needs only one tile.
  const int64_t sums_row = steps > kc ? nr : 0, sums_column = steps > kc ? part.m : 0;
  for (int64_t j0 = 0; j0 < part.n; j0 += nc)
    for (int64_t step = 0; step < steps; step += kc) {
      const int64_t block_n = std::min(nc, part.n - j0);
      const int64_t depth = std::min(kc, steps - step), k0 = step * Blocks::kOfK,
                    depth_k = std::min(depth * Blocks::kOfK, part.k - k0);
      Tile tile = narrows ? first_sums(step, depth) : first_tile(part, step, depth);
      tile.a_step = mr;
      tile.b_step = in_panels ? kPanel : nr;
      for (int64_t j = 0; j < block_n && !in_panels; j += nr) {
        float* const to = packed_b + j * depth;
        if constexpr (!Blocks::template kReadsPanels<In>)
          if (part.packed) {
            const int64_t column = part.column + j0 + j;
            Blocks::unpack_b(from_b.data + packed_index(part.b.dtype, part.k, k0, column), kPanel - column % kPanel, depth_k, to);
            continue;
          }
        Blocks::pack_b(Strided<In>{&from_b.at(k0, j0 + j), from_b.row, from_b.column}, std::min(nr, block_n - j), part.n - j0 - j,
                       depth_k, to);
      }
      // The same steps of the next columns, or the next steps of the first ones.
      const auto next_cells = [&](int64_t j) {
        return j + nr < j0 + block_n ? cells(part, step, j + nr) : cells(part, step + depth < steps ? step + depth : step, j0);
      };
      for (int64_t i0 = 0; i0 < part.m; i0 += mc) {
        const int64_t block_m = std::min(mc, part.m - i0);
        for (int64_t i = 0; i < block_m; i += mr)
          Blocks::pack_a(Strided<In>{&from_a.at(i0 + i, k0), from_a.row, from_a.column}, std::min(mr, block_m - i),
                         part.m - i0 - i, depth_k, mr, packed_a + i * depth);
        for (int64_t j = 0; j < block_n; j += nr) {
          tile.columns = std::min(nr, block_n - j);
          tile.b = in_panels ? cells(part, step, j0 + j) : packed_b + j * depth;
          for (int64_t i = 0; i < block_m; i += mr) {
            const int64_t rows = std::min(mr, block_m - i);
            tile.a = packed_a + i * depth;
            tile.ahead = in_panels && i0 + i == 0 ? next_cells(j0 + j) - tile.b : 0;
            tile.c = narrows ? workspace + at.sums + j * sums_column + (i0 + i) * sums_row
                             : static_cast<float*>(part.c) + (i0 + i) * part.c_row + j0 + j;
            Blocks::compute(tile, rows);
            if (narrows && step + depth == steps) round_tile(part, tile, rows, i0 + i, j0 + j);
          }
        }
      }
    }
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
