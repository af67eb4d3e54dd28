// SPDX-License-Identifier: Apache-2.0
// Chooses the blocking of a GEMM: blocks along M, N and K for the caches, and blocks of C for the tasks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/math.h"
#include "device/info.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/shape.h"

namespace metallic::matmul {

/// The size of equal blocks of `extent`, at most about `most` and a multiple of `unit`. A small remainder would cost as much as a
/// whole block.
constexpr int64_t equal_blocks(int64_t extent, int64_t most, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(extent, std::max(most, unit)));
  return std::max(unit, round_up(ceil_div(extent, blocks), unit));
}

/// The register tile of a micro-kernel.
struct TileShape {
  int64_t mr, nr;
  int64_t spill;     ///< floats that packing may write past the last panel of A
  int64_t unit = 1;  ///< mr is a multiple of this
};

/// The block sizes along M, N and K, and the register tile of the blocks. K counts steps of four bytes: one float, or two bf16.
struct Blocking {
  TileShape tile;
  int64_t mc, nc, kc;
  bool reads_panels = false;  ///< whether the micro-kernel reads panels of packed weights in place, so no block of B is copied
};

/// A block of C that one task computes. B is the block's columns, or all packed panels, in which the columns start at `column`.
struct OutputBlock {
  int64_t m, n, k;
  Operand a, b;
  bool packed;
  int64_t column;
  DType out_dtype;
  void* c;
  int64_t c_row;
  float alpha, beta;

  /// Whether the f32 sums are rounded to 16 bits.
  bool narrows() const { return out_dtype != DType::f32; }
};

/// Where a task's workspace holds the packed block of B, the packed block of A and the sums, in floats.
struct WorkspaceLayout {
  int64_t b, a, sums, end;
};

/// The workspace for blocks of C with m rows and `steps` steps of K. There are f32 sums only if C has 16 bits: of one tile if a
/// single block of K finishes it, otherwise of all tiles beside a block of B.
constexpr WorkspaceLayout workspace_layout(const Blocking& blocking, int64_t m, int64_t steps, bool narrows) {
  constexpr int64_t kLine = 64 / sizeof(float);
  WorkspaceLayout at = {};
  at.a = at.b + (blocking.reads_panels ? 0 : blocking.nc * blocking.kc);
  at.sums = round_up(at.a + blocking.mc * blocking.kc + blocking.tile.spill, kLine);
  const int64_t rows = steps > blocking.kc ? m : blocking.tile.mr, columns = steps > blocking.kc ? blocking.nc : blocking.tile.nr;
  at.end = round_up(at.sums + (narrows ? rows * columns : 0), kLine);
  return at;
}

/// A panel of B fits in the first cache level, a block of A in half of the second, and a block of B in a quarter of the thread's
/// part of the last. So do the sums of a C of 16 bits, if that leaves enough columns to pay for packing A each time. kc depends
/// on the device alone, because it fixes the order of summation: a longer K extends the order of a shorter one.
inline Blocking blocking_for(const TileShape& tile, int64_t m, int64_t n, int64_t steps, bool narrows, int threads,
                             const DeviceInfo& device) {
  constexpr int64_t kFloat = sizeof(float);
  Blocking blocking = {.tile = tile, .mc = 0, .nc = 0, .kc = 0};
  const int64_t most_k = std::clamp<int64_t>(device.cpu().l1d_bytes / (blocking.tile.nr * kFloat) / 64 * 64, 256, 512);
  blocking.kc = std::clamp<int64_t>(steps, 1, most_k);
  // Tiles have equal heights: 16 rows are two tiles of 8. Of 14 and 2 rows, the second tile would be bound by its loads.
  blocking.tile.mr = equal_blocks(m, blocking.tile.mr, tile.unit);
  blocking.mc = equal_blocks(m, device.cpu().l2_bytes / 2 / (blocking.kc * kFloat), blocking.tile.mr);
  const int64_t block_b = std::max<int64_t>(device.cpu().llc_bytes / threads / 4, device.cpu().l2_bytes / 2);
  int64_t most_n = block_b / (blocking.kc * kFloat);
  if (narrows && steps > blocking.kc) most_n = std::min(most_n, std::max<int64_t>(512, block_b / (m * kFloat)));
  blocking.nc = equal_blocks(n, most_n, blocking.tile.nr);
  return blocking;
}

/// The split of each output matrix into rows × columns blocks of part_m × part_n.
struct OutputGrid {
  int64_t rows = 1, columns = 1;
  int64_t part_m = 0, part_n = 0;
};

/// The grid whose slowest task is fastest. A float that a block packs or streams costs about as much as eight multiply-adds, so
/// blocks are as square as whole tiles allow.
inline OutputGrid best_grid(const MatmulShape& shape, int64_t tasks, int64_t mr, int64_t nr) {
  OutputGrid best;
  double least = INFINITY;
  for (int64_t rows = 1; rows <= tasks; ++rows)
    for (int64_t columns = 1; rows * columns <= tasks; ++columns) {
      OutputGrid grid = {.part_m = equal_blocks(shape.m, ceil_div(shape.m, rows), mr),
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
