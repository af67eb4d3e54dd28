// How a product is cut: blocks along M, N and K for the caches, made of a target's register tiles; parts of C for the tasks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "device/info.h"
#include "ops/matmul/contract.h"

namespace metallic::matmul {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// `extent` in equal blocks of at most about `most`, multiples of `unit`: a small rest would cost as much as a whole one.
constexpr int64_t equal_blocks(int64_t extent, int64_t most, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(extent, std::max(most, unit)));
  return std::max(unit, round_up(ceil_div(extent, blocks), unit));
}

// A target's register tile, how many floats packing may write past the last panel of A, and what the height is a multiple of.
struct TileShape {
  int64_t mr, nr, spill;
  int64_t unit = 1;
};

// The block sizes along M, N and K, and the tile they are made of. K goes by in steps of four bytes: one float, or two bf16.
struct Blocking {
  TileShape tile;
  int64_t mc, nc, kc;
  bool reads_panels = false;  ///< of packed weights, where they are: no block of B is copied
};

// A rectangle of C, as one task computes it. B is its columns, or all of the panels of which its columns begin at `column`.
struct Part {
  int64_t m, n, k;
  Operand a, b;
  bool packed;
  int64_t column;
  DType out_dtype;
  void* c;
  int64_t c_row;
  float alpha, beta;

  bool narrows() const { return out_dtype != DType::f32; }
};

// Floats of workspace for `part`s of m rows and so many steps of K: a block of A and a vector of slack, a block of B and, where
// C takes 16 bits, the f32 sums of its tiles: of one where a single block of K finishes it, else of all beside a block of B.
struct Workspace {
  int64_t b, a, sums, end;
};

constexpr Workspace layout(const Blocking& blocking, int64_t m, int64_t steps, bool narrows) {
  constexpr int64_t kLine = 64 / sizeof(float);
  Workspace at = {};
  at.a = at.b + (blocking.reads_panels ? 0 : blocking.nc * blocking.kc);
  at.sums = round_up(at.a + blocking.mc * blocking.kc + blocking.tile.spill, kLine);
  const int64_t rows = steps > blocking.kc ? m : blocking.tile.mr, columns = steps > blocking.kc ? blocking.nc : blocking.tile.nr;
  at.end = round_up(at.sums + (narrows ? rows * columns : 0), kLine);
  return at;
}

// A panel of B is to stay in the first cache level, a block of A in half of the second, a block of B in a quarter of what
// a thread has of the last; so are the sums of a C of 16 bits, where that leaves columns enough to pay for packing A each time.
// kc depends on the device alone: it fixes the order of summation, of which a longer K extends that of a shorter one.
inline Blocking blocking_for(const TileShape& tile, int64_t m, int64_t n, int64_t steps, bool narrows, int threads,
                             const DeviceInfo& device) {
  constexpr int64_t kFloat = sizeof(float);
  Blocking blocking = {.tile = tile, .mc = 0, .nc = 0, .kc = 0};
  const int64_t most_k = std::clamp<int64_t>(device.cpu().l1d_bytes / (blocking.tile.nr * kFloat) / 64 * 64, 256, 512);
  blocking.kc = std::clamp<int64_t>(steps, 1, most_k);
  // Tiles of equal height: 16 rows are two of 8 rather than 14 and 2, whose second would be all loads.
  blocking.tile.mr = equal_blocks(m, blocking.tile.mr, tile.unit);
  blocking.mc = equal_blocks(m, device.cpu().l2_bytes / 2 / (blocking.kc * kFloat), blocking.tile.mr);
  const int64_t block_b = std::max<int64_t>(device.cpu().llc_bytes / threads / 4, device.cpu().l2_bytes / 2);
  int64_t most_n = block_b / (blocking.kc * kFloat);
  if (narrows && steps > blocking.kc) most_n = std::min(most_n, std::max<int64_t>(512, block_b / (m * kFloat)));
  blocking.nc = equal_blocks(n, most_n, blocking.tile.nr);
  return blocking;
}

// How a problem is cut into parts: each matrix in rows × columns of them.
struct Grid {
  int64_t rows = 1, columns = 1;
  int64_t part_m = 0, part_n = 0;
};

// The grid with the shortest slowest task. Each float that a part packs or streams costs it about as much as eight
// multiply-adds, so parts are as square as whole tiles allow.
inline Grid best_grid(const MatmulShape& shape, int64_t tasks, int64_t mr, int64_t nr) {
  Grid best;
  double least = INFINITY;
  for (int64_t rows = 1; rows <= tasks; ++rows)
    for (int64_t columns = 1; rows * columns <= tasks; ++columns) {
      Grid grid = {.part_m = equal_blocks(shape.m, ceil_div(shape.m, rows), mr),
                   .part_n = equal_blocks(shape.n, ceil_div(shape.n, columns), nr)};
      grid.rows = ceil_div(shape.m, grid.part_m);
      grid.columns = ceil_div(shape.n, grid.part_n);
      const auto m = static_cast<double>(grid.part_m), n = static_cast<double>(grid.part_n);
      const double cost = static_cast<double>(ceil_div(shape.batch * grid.rows * grid.columns, tasks)) * (m * n + 8 * (m + n));
      if (cost < least) least = cost, best = grid;
    }
  return best;
}

}  // namespace metallic::matmul
