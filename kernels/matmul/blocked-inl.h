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

#include "kernels/matmul/blocking.h"
#include "kernels/matmul/contract.h"
#include "kernels/matmul/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

constexpr int kVecsA = static_cast<int>((kMr + kLanes - 1) / kLanes);

TileShape tile_shape() { return {.mr = kMr, .nr = kNr, .spill = kVecsA * kLanes}; }

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

// Scales a tile of finished sums and rounds them into C at row i, column j.
inline void round_tile(const Part& part, const Tile& sums, int64_t rows, int64_t i, int64_t j) {
  const Tile tile = {.columns = sums.columns, .alpha = part.alpha, .keep = part.beta, .exact_write = needs_exact_write(part)};
  with_type(part.out_dtype, [&]<typename Out>(Out) {
    write_tile(sums.c, rows, kTileVecs, tile, static_cast<Out*>(part.c) + i * part.c_row + j, part.c_row);
  });
}

/// A part of C from packed blocks of both operands, in the arithmetic of Step: Floats below, or what a variant of its own has.
template <typename Step, typename In>
void multiply_blocks(const Strided<In>& from_a, const Strided<In>& from_b, const Part& part, const Blocking& blocking,
                     float* workspace) {
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr;
  const int64_t mc = blocking.mc, nc = blocking.nc, kc = blocking.kc, steps = ceil_div(part.k, Step::kOfK);
  const bool narrows = part.narrows();
  const Workspace at = layout(blocking, part.m, steps, narrows);
  float* const packed_b = workspace + at.b;
  float* const packed_a = workspace + at.a;
  // The sums of a tile lie together, those of a column of tiles from top to bottom; one block of K needs only one tile.
  const int64_t sums_row = steps > kc ? nr : 0, sums_column = steps > kc ? part.m : 0;
  for (int64_t j0 = 0; j0 < part.n; j0 += nc)
    for (int64_t step = 0; step < steps; step += kc) {
      const int64_t block_n = std::min(nc, part.n - j0);
      const int64_t depth = std::min(kc, steps - step), k0 = step * Step::kOfK,
                    depth_k = std::min(depth * Step::kOfK, part.k - k0);
      Tile tile = narrows ? first_sums(step, depth) : first_tile(part, step, depth);
      const In* b = &from_b.at(k0, j0);
      for (int64_t j = 0; j < block_n; j += nr)
        Step::template pack<kTileVecs>(b + j * from_b.column, from_b.column, from_b.row, std::min(nr, block_n - j),
                                       part.n - j0 - j, depth_k, packed_b + j * depth, nr);
      for (int64_t i0 = 0; i0 < part.m; i0 += mc) {
        const int64_t block_m = std::min(mc, part.m - i0);
        const In* a = &from_a.at(i0, k0);
        for (int64_t i = 0; i < block_m; i += mr) {
          const int64_t rows = std::min(mr, block_m - i);
          Step::template pack<kVecsA>(a + i * from_a.row, from_a.row, from_a.column, rows, part.m - i0 - i, depth_k,
                                      packed_a + i * depth, rows);
        }
        for (int64_t j = 0; j < block_n; j += nr) {
          tile.columns = std::min(nr, block_n - j);
          tile.b = packed_b + j * depth;
          const auto& tiles = tile.columns > kLanes ? kTiles<Step, 2, true, false> : kTiles<Step, 1, true, false>;
          for (int64_t i = 0; i < block_m; i += mr) {
            const int64_t rows = std::min(mr, block_m - i);
            tile.a = packed_a + i * depth;
            tile.c = narrows ? workspace + at.sums + j * sums_column + (i0 + i) * sums_row
                             : static_cast<float*>(part.c) + (i0 + i) * part.c_row + j0 + j;
            tiles[static_cast<size_t>(rows - 1)](tile);
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
