// matmul cpu_gemm: C in blocks whose operands fit the caches, each made of register tiles; with `pack`, the operands are
// first copied into the order and the type in which the tiles read them. Tasks share C in both directions; none splits K.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/matmul/contract.h"
#include "kernels/matmul/pack-inl.h"
#include "kernels/matmul/tile-inl.h"
#include "kernels/partition.h"

#ifndef METALLIC_KERNELS_MATMUL_CPU_GEMM_ONCE
#define METALLIC_KERNELS_MATMUL_CPU_GEMM_ONCE
namespace metallic::matmul {
namespace {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// `extent` in equal blocks of at most about `most`, multiples of `unit`: a small rest would cost as much as a whole one.
constexpr int64_t equal_blocks(int64_t extent, int64_t most, int64_t unit) {
  const int64_t blocks = std::max<int64_t>(1, ceil_div(extent, std::max(most, unit)));
  return std::max(unit, round_up(ceil_div(extent, blocks), unit));
}

// A target's register tile, and how many floats packing may write past the last panel of A.
struct TileShape {
  int64_t mr, nr, spill;
};

// The block sizes along M, N and K, and the tile they are made of.
struct Blocking {
  TileShape tile;
  int64_t mc, nc, kc;
};

// A rectangle of C, as one task computes it.
struct Part {
  int64_t m, n, k;
  Operand a, b;
  DType out_dtype;
  void* c;
  int64_t c_row;
  float alpha, beta;

  bool narrows() const { return out_dtype != DType::f32; }
};

// Floats of workspace for `part`s of m rows: a block of A and a vector of slack, a block of B and, where C takes 16 bits,
// the f32 sums of its tiles: of one where a single block of K finishes it, else of all beside a block of B.
struct Workspace {
  int64_t b, a, sums, end;
};

constexpr Workspace layout(const Blocking& blocking, int64_t m, int64_t k, bool narrows) {
  constexpr int64_t kLine = 64 / sizeof(float);
  Workspace at = {};
  at.a = at.b + blocking.nc * blocking.kc;
  at.sums = round_up(at.a + blocking.mc * blocking.kc + blocking.tile.spill, kLine);
  const int64_t rows = k > blocking.kc ? m : blocking.tile.mr, columns = k > blocking.kc ? blocking.nc : blocking.tile.nr;
  at.end = round_up(at.sums + (narrows ? rows * columns : 0), kLine);
  return at;
}

}  // namespace
}  // namespace metallic::matmul
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

constexpr int kVecsA = static_cast<int>((kMr + kLanes - 1) / kLanes);

TileShape tile_shape() { return {.mr = kMr, .nr = kNr, .spill = kVecsA * kLanes}; }

// One product has no error budget for three roundings, which is what alpha·(a·b) + beta·c takes without FMA.
bool needs_exact_write(const Part& part) { return !HWY_NATIVE_FMA && part.k == 1 && part.beta != 0; }

Tile first_tile(const Part& part, const Blocking& blocking, int64_t k) {
  Tile tile = {.depth = std::min(blocking.kc, part.k - k), .c_row = part.c_row, .alpha = part.alpha};
  tile.keep = k == 0 ? part.beta : 1;
  tile.exact_write = needs_exact_write(part);
  return tile;
}

// The same where C takes 16 bits: what is added up are f32 sums, scaled when the last of K is in them.
Tile first_sums(const Part& part, const Blocking& blocking, int64_t k) {
  return {.depth = std::min(blocking.kc, part.k - k), .c_row = kNr, .alpha = 1, .keep = k == 0 ? 0.0f : 1.0f};
}

// Scales a tile of finished sums and rounds them into C at row i, column j.
void round_tile(const Part& part, const Tile& sums, int64_t rows, int64_t i, int64_t j) {
  const Tile tile = {.columns = sums.columns, .alpha = part.alpha, .keep = part.beta, .exact_write = needs_exact_write(part)};
  with_type(part.out_dtype, [&]<typename Out>(Out) {
    write_tile(sums.c, rows, kTileVecs, tile, static_cast<Out*>(part.c) + i * part.c_row + j, part.c_row);
  });
}

template <typename In>
void multiply_packed_from(const Strided<In>& from_a, const Strided<In>& from_b, const Part& part, const Blocking& blocking,
                          float* workspace) {
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr;
  const int64_t mc = blocking.mc, nc = blocking.nc, kc = blocking.kc;
  const bool narrows = part.narrows();
  const Workspace at = layout(blocking, part.m, part.k, narrows);
  float* const packed_b = workspace + at.b;
  float* const packed_a = workspace + at.a;
  // The sums of a tile lie together, those of a column of tiles from top to bottom; one block of K needs only one tile.
  const int64_t sums_row = part.k > kc ? nr : 0, sums_column = part.k > kc ? part.m : 0;
  for (int64_t j0 = 0; j0 < part.n; j0 += nc)
    for (int64_t k0 = 0; k0 < part.k; k0 += kc) {
      const int64_t block_n = std::min(nc, part.n - j0);
      Tile tile = narrows ? first_sums(part, blocking, k0) : first_tile(part, blocking, k0);
      const In* b = &from_b.at(k0, j0);
      for (int64_t j = 0; j < block_n; j += nr)
        pack_panel<kTileVecs>(b + j * from_b.column, from_b.column, from_b.row, std::min(nr, block_n - j), part.n - j0 - j,
                              tile.depth, packed_b + j * tile.depth, nr);
      for (int64_t i0 = 0; i0 < part.m; i0 += mc) {
        const int64_t block_m = std::min(mc, part.m - i0);
        const In* a = &from_a.at(i0, k0);
        for (int64_t i = 0; i < block_m; i += mr) {
          const int64_t rows = std::min(mr, block_m - i);
          pack_panel<kVecsA>(a + i * from_a.row, from_a.row, from_a.column, rows, part.m - i0 - i, tile.depth,
                             packed_a + i * tile.depth, rows);
        }
        for (int64_t j = 0; j < block_n; j += nr) {
          tile.columns = std::min(nr, block_n - j);
          tile.b = packed_b + j * tile.depth;
          const auto& tiles = tile.columns > kLanes ? kTiles<2, true, false> : kTiles<1, true, false>;
          for (int64_t i = 0; i < block_m; i += mr) {
            const int64_t rows = std::min(mr, block_m - i);
            tile.a = packed_a + i * tile.depth;
            tile.c = narrows ? workspace + at.sums + j * sums_column + (i0 + i) * sums_row
                             : static_cast<float*>(part.c) + (i0 + i) * part.c_row + j0 + j;
            tiles[static_cast<size_t>(rows - 1)](tile);
            if (narrows && k0 + tile.depth == part.k) round_tile(part, tile, rows, i0 + i, j0 + j);
          }
        }
      }
    }
}

void multiply_packed(const Part& part, const Blocking& blocking, float* workspace) {
  with_type(part.a.dtype,
            [&]<typename In>(In) { multiply_packed_from(part.a.as<In>(), part.b.as<In>(), part, blocking, workspace); });
}

void multiply_direct(const Part& part, const Blocking& blocking, float*) {
  const Strided<float> a = part.a.as<float>(), b = part.b.as<float>();
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr, mc = blocking.mc, kc = blocking.kc;
  for (int64_t k0 = 0; k0 < part.k; k0 += kc) {
    Tile tile = first_tile(part, blocking, k0);
    tile.a_row = a.row;
    tile.a_step = a.column;
    tile.b_step = b.row;
    for (int64_t i0 = 0; i0 < part.m; i0 += mc) {
      const int64_t block_m = std::min(mc, part.m - i0);
      for (int64_t j = 0; j < part.n; j += nr) {
        tile.columns = std::min(nr, part.n - j);
        tile.b = b.data + k0 * b.row + j;
        const auto& tiles = tile.columns == nr      ? kTiles<2, false, false>
                            : tile.columns > kLanes ? kTiles<2, false, true>
                                                    : kTiles<1, false, true>;
        for (int64_t i = 0; i < block_m; i += mr) {
          tile.a = &a.at(i0 + i, k0);
          tile.c = static_cast<float*>(part.c) + (i0 + i) * part.c_row + j;
          tiles[static_cast<size_t>(std::min(mr, block_m - i) - 1)](tile);
        }
      }
    }
  }
}

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(tile_shape);
HWY_EXPORT(multiply_packed);
HWY_EXPORT(multiply_direct);
using Multiply = decltype(&HWY_STATIC_DISPATCH(multiply_packed));

// Packing pays where each packed float is used often.
constexpr Tuning kTunings[] = {{{{{"pack", 0}}}}, {{{{"pack", 1}}}}};

// A panel of B is to stay in the first cache level, a block of A in half of the second, a block of B in a quarter of what
// a thread has of the last; so are the sums of a C of 16 bits, where that leaves columns enough to pay for packing A each time.
// kc depends on the device alone: it fixes the order of summation, of which a longer K extends that of a shorter one.
Blocking blocking_for(int64_t m, int64_t n, int64_t k, bool narrows, int threads, const DeviceFacts& facts) {
  constexpr int64_t kFloat = sizeof(float);
  Blocking blocking = {.tile = cpu::pick(HWY_DISPATCH_TABLE(tile_shape), facts.isa_bit)()};
  const int64_t most_k = std::clamp<int64_t>(facts.l1d_bytes / (blocking.tile.nr * kFloat) / 64 * 64, 256, 512);
  blocking.kc = std::clamp<int64_t>(k, 1, most_k);
  // Tiles of equal height: 16 rows are two of 8 rather than 14 and 2, whose second would be all loads.
  blocking.tile.mr = equal_blocks(m, blocking.tile.mr, 1);
  blocking.mc = equal_blocks(m, facts.l2_bytes / 2 / (blocking.kc * kFloat), blocking.tile.mr);
  const int64_t block_b = std::max<int64_t>(facts.llc_bytes / threads / 4, facts.l2_bytes / 2);
  int64_t most_n = block_b / (blocking.kc * kFloat);
  if (narrows && k > blocking.kc) most_n = std::min(most_n, std::max<int64_t>(512, block_b / (m * kFloat)));
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
Grid best_grid(const MatmulShape& shape, int64_t tasks, int64_t mr, int64_t nr) {
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

bool all_f32(const Problem& problem) { return problem.dtype == DType::f32 && problem.out_dtype == DType::f32; }

class CpuGemm final : public Kernel {
 public:
  CpuGemm(const Problem& problem, bool pack, const DeviceFacts& facts)
      : shape_(problem.matmul()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        pack_(pack),
        multiply_(pack ? cpu::pick(HWY_DISPATCH_TABLE(multiply_packed), facts.isa_bit)
                       : cpu::pick(HWY_DISPATCH_TABLE(multiply_direct), facts.isa_bit)) {
    if (shape_.batch == 0 || shape_.m == 0 || shape_.n == 0 || shape_.k == 0) return;
    const double work = static_cast<double>(shape_.batch) * static_cast<double>(shape_.m) * static_cast<double>(shape_.n) *
                        static_cast<double>(shape_.k);
    const Blocking whole = blocking_for(shape_.m, shape_.n, shape_.k, narrows(), problem.threads, facts);
    tasks_ = task_count(problem.threads, shape_.batch * shape_.m * shape_.n, work, kGrain);
    grid_ = best_grid(shape_, tasks_, whole.tile.mr, whole.tile.nr);
    tasks_ = std::min(tasks_, shape_.batch * grid_.rows * grid_.columns);
    blocking_ = blocking_for(grid_.part_m, grid_.part_n, shape_.k, narrows(), problem.threads, facts);
  }

  size_t workspace() const override { return pack_ ? static_cast<size_t>(tasks_ * floats_per_task()) * sizeof(float) : 0; }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (shape_.k == 0) {
      with_type(out_dtype_, [&]<typename Out>(Out) { scale(static_cast<Out*>(args.out)); });
      return Code::ok;
    }
    const int64_t parts = shape_.batch * grid_.rows * grid_.columns;
    if (parts == 0) return Code::ok;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      auto* scratch = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * (pack_ ? floats_per_task() : 0);
      const Share mine = share(parts, tasks_, static_cast<int64_t>(task));
      for (int64_t i = mine.begin; i < mine.end; ++i) multiply_(part(args, i), blocking_, scratch);
    });
    return Code::ok;
  }

 private:
  bool narrows() const { return out_dtype_ != DType::f32; }

  int64_t floats_per_task() const { return tasks_ == 0 ? 0 : layout(blocking_, grid_.part_m, shape_.k, narrows()).end; }

  Part part(const Args& args, int64_t index) const {
    const int64_t batch = index / (grid_.rows * grid_.columns), i = index / grid_.columns % grid_.rows * grid_.part_m,
                  j = index % grid_.columns * grid_.part_n;
    Part part = {.m = std::min(grid_.part_m, shape_.m - i),
                 .n = std::min(grid_.part_n, shape_.n - j),
                 .k = shape_.k,
                 .a = operand_a(shape_, dtype_, args.in[0], batch),
                 .b = operand_b(shape_, dtype_, args.in[1], batch),
                 .out_dtype = out_dtype_,
                 .c = output_at(shape_, out_dtype_, args.out, batch, i, j),
                 .c_row = shape_.ldc,
                 .alpha = shape_.alpha,
                 .beta = shape_.beta};
    part.a.data = part.a.at(i, 0);
    part.b.data = part.b.at(0, j);
    return part;
  }

  template <typename Out>
  void scale(Out* out) const {
    for (int64_t batch = 0; batch < shape_.batch; ++batch)
      for (int64_t i = 0; i < shape_.m; ++i) {
        Out* c = out + batch * shape_.batch_stride_c + i * shape_.ldc;
        for (int64_t j = 0; j < shape_.n; ++j)
          c[j] = shape_.beta == 0 ? Out{} : from_double<Out>(static_cast<double>(shape_.beta) * to_float(c[j]));
      }
  }

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  bool pack_;
  Multiply multiply_;
  int64_t tasks_ = 0;
  Grid grid_;
  Blocking blocking_ = {};
};

}  // namespace

extern const Variant cpu_gemm = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&) -> std::optional<std::string> {
      if (tuning["pack"] == 1) return std::nullopt;
      if (!all_f32(problem)) return "pack = 0 computes on operands and results as they are stored, in f32 only";
      if (problem.matmul().tb) return "pack = 0 reads rows of B, which tb stores as columns";
      return std::nullopt;
    },
    // Operands that stay in the second cache level need no copies (256³: 114 against 110 GFLOP/s); beyond, strides cost
    // more than packing does (1024³: 78 against 104).
    .prefer =
        [](const Problem& problem, const DeviceFacts& facts) {
          const auto& shape = problem.matmul();
          const bool in_cache = (shape.m + shape.n) * shape.k * static_cast<int64_t>(sizeof(float)) <= facts.l2_bytes;
          return kTunings[!all_f32(problem) || shape.tb || (!in_cache && shape.big() >= 64 && shape.small() >= 16) ? 1 : 0];
        },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<CpuGemm>(problem, tuning["pack"] == 1, facts); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      const int64_t k = problem.matmul().k;
      return fmt::format("gemm;kc={};{}", blocking_for(1, 1, k, false, 1, facts).kc, facts.isa);
    },
};

}  // namespace metallic::matmul
#endif
