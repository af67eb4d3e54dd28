// SPDX-License-Identifier: Apache-2.0
// matmul cpu_gemm_amx: the blocked GEMM of bf16 operands on AMX. An instruction multiplies tiles of 16 × 32 and 32 × 16 elements,
// which has eight times the throughput of dot products of pairs. B is packed in pairs, A in rows of tiles.
#include "ops/simd/bf16_target.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemm_amx.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "ops/simd/bf16_pairs-inl.h"  // first: it extends the target of what follows

#include "device/cpu/amx.h"
#include "device/cpu/isa.h"
#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemm_kernel.h"
#include "ops/matmul/pairs-inl.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

#ifndef METALLIC_OPS_MATMUL_CPU_GEMM_AMX_ONCE
#define METALLIC_OPS_MATMUL_CPU_GEMM_AMX_ONCE
namespace metallic::matmul {
namespace {

// A tile register holds 16 rows of 16 cells of four bytes.
constexpr int64_t kTileRows = 16, kTileCells = 16;

// Steps of four bytes; K is padded with zeros to whole tiles.
constexpr int64_t amx_steps(int64_t k) { return round_up(ceil_div(k, 2), kTileCells); }

}  // namespace
}  // namespace metallic::matmul
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

#if METALLIC_BF16_DOTS

static_assert(kNr == 2 * kTileCells && kNr == kPanel);

// The operand of ldtilecfg: all eight tile registers have full size.
struct TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

// Configures the thread's tile registers, and releases them at the end. Inline assembly, because compilers accept the intrinsics
// only in functions for a target with AMX, and Highway 1.0.3 has none.
class TileRegisters {
 public:
  TileRegisters() {
    const TileConfiguration configuration;
    asm volatile("ldtilecfg %0" ::"m"(configuration));
  }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
  ~TileRegisters() { asm volatile("tilerelease"); }
};

#define METALLIC_TILE_ZERO(tile) asm volatile("tilezero %%tmm" #tile ::)
#define METALLIC_TILE_LOAD(tile, from, bytes) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(from), "r"(static_cast<int64_t>(bytes)) : "memory")
#define METALLIC_TILE_STORE(tile, to, bytes) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(to), "r"(static_cast<int64_t>(bytes)) : "memory")
#define METALLIC_TILE_DOT(c, a, b) asm volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

// The micro-kernel: 32 × 32 sums in four tiles, from two tiles of A and two of B at a time, or 16 × 32 sums from one tile of A.
template <bool kTwoOfA>
void accumulate(const RegisterTile& tile, float* HWY_RESTRICT sums) {
  const float *a = tile.a, *b = tile.b;
  const int64_t b_bytes = tile.b_step * 4;
  METALLIC_TILE_ZERO(0);
  METALLIC_TILE_ZERO(1);
  if constexpr (kTwoOfA) {
    METALLIC_TILE_ZERO(2);
    METALLIC_TILE_ZERO(3);
  }
  for (int64_t step = 0; step < tile.depth; step += kTileCells) {
    METALLIC_TILE_LOAD(6, b, b_bytes);
    METALLIC_TILE_LOAD(4, a, 64);
    METALLIC_TILE_LOAD(7, b + kTileCells, b_bytes);
    METALLIC_TILE_DOT(0, 4, 6);
    METALLIC_TILE_DOT(1, 4, 7);
    if constexpr (kTwoOfA) {
      METALLIC_TILE_LOAD(5, a + kTileRows * kTileCells, 64);
      METALLIC_TILE_DOT(2, 5, 6);
      METALLIC_TILE_DOT(3, 5, 7);
    }
    a += tile.a_step * kTileCells;
    b += tile.b_step * kTileCells;
  }
  METALLIC_TILE_STORE(0, sums, kNr * 4);
  METALLIC_TILE_STORE(1, sums + kTileCells, kNr * 4);
  if constexpr (kTwoOfA) {
    METALLIC_TILE_STORE(2, sums + kTileRows * kNr, kNr * 4);
    METALLIC_TILE_STORE(3, sums + kTileRows * kNr + kTileCells, kNr * 4);
  }
}

#undef METALLIC_TILE_ZERO
#undef METALLIC_TILE_LOAD
#undef METALLIC_TILE_STORE
#undef METALLIC_TILE_DOT

// The arithmetic of AMX; see F32Blocks.
struct AmxBlocks {
  static int64_t steps(int64_t k) { return amx_steps(k); }
  static constexpr int64_t kStepK = 2;
  template <typename In>
  static constexpr bool kReadsPanels = true;

  // 16 contiguous steps for each of `height` rows; zeros past the last row and past K.
  static void pack_a(const Strided<bfloat16_t>& a, int64_t rows, int64_t, int64_t depth, int64_t height, float* to) {
    constexpr int64_t kOfTile = 2 * kTileCells;
    for (int64_t k = 0; k < depth; k += kOfTile)
      for (int64_t i = 0; i < height; ++i, to += kTileCells) {
        bfloat16_t row[kOfTile] = {};
        const int64_t count = i < rows ? std::min(kOfTile, depth - k) : 0;
        const bfloat16_t* from = a.data + i * a.row + k * a.column;
        if (a.column == 1 && count == kOfTile)
          std::memcpy(row, from, sizeof row);
        else
          for (int64_t j = 0; j < count; ++j) row[j] = from[j * a.column];
        std::memcpy(to, row, sizeof row);
      }
  }
  static void pack_b(const Strided<bfloat16_t>& b, int64_t columns, int64_t readable, int64_t depth, float* to) {
    PairBlocks::pack_b(b, columns, readable, depth, to);
    std::fill(to + ceil_div(depth, 2) * kNr, to + amx_steps(depth) * kNr, 0.0f);
  }
  static void compute(const RegisterTile& tile, int64_t rows) {
    HWY_ALIGN float sums[2 * kTileRows * kNr];
    rows > kTileRows ? accumulate<true>(tile, sums) : accumulate<false>(tile, sums);
    write_tile(sums, rows, kTileVecs, tile, tile.c, tile.c_row);
  }
};

void multiply_tiles(const OutputBlock& block, const Blocking& blocking, float* workspace) {
  const TileRegisters in_use;
  multiply_blocks<AmxBlocks>(block.a.as<bfloat16_t>(), block.b.as<bfloat16_t>(), block, blocking, workspace);
}
MultiplyBlock find_multiply() { return &multiply_tiles; }

#else
MultiplyBlock find_multiply() { return nullptr; }
#endif

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(find_multiply);

constexpr Tuning kTunings[] = {{}};

GemmMicroKernel micro_kernel(const DeviceInfo& device) {
  return {.multiply = cpu::pick(HWY_DISPATCH_TABLE(find_multiply), device.cpu().hwy_target)(),
          .tile = {.mr = 2 * kTileRows, .nr = 2 * kTileCells, .spill = 0, .unit = kTileRows},
          .steps = amx_steps,
          .reads_panels = true,
          .per_ns = 8 * kPerNs};
}

}  // namespace

extern const Variant cpu_gemm_amx = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (problem.dtype != DType::bf16) return fmt::format("inputs are {}, not bf16", name(problem.dtype));
      if (!device.cpu().amx || !has_bf16_dots(device)) return "the CPU has no AMX, or not for this target";
      return cpu::amx_refusal();
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      METALLIC_CHECK(cpu::request_amx());
      return std::make_unique<GemmKernel>(problem, micro_kernel(device), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      const int64_t steps = amx_steps(problem.as<MatmulShape>().k);
      return fmt::format("gemm_amx;kc={}", blocking_for(micro_kernel(device).tile, 1, 1, steps, false, 1, device).kc);
    },
};

}  // namespace metallic::matmul
#endif
