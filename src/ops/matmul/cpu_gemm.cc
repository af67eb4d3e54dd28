// matmul cpu_gemm: C in blocks whose operands fit the caches, each made of register tiles; with `pack`, the operands are
// first copied into the order and the type in which the tiles read them, unless they are packed weights. Tasks share C in both
// directions; none splits K.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/blocked_product.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

void multiply_packed(const Part& part, const Blocking& blocking, float* workspace) {
  with_type(part.a.dtype,
            [&]<typename In>(In) { multiply_blocks<FloatBlocks>(part.a.as<In>(), part.b.as<In>(), part, blocking, workspace); });
}

void multiply_direct(const Part& part, const Blocking& blocking, float*) {
  const Strided<float> a = part.a.as<float>(), b = part.b.as<float>();
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr, mc = blocking.mc, kc = blocking.kc;
  for (int64_t k0 = 0; k0 < part.k; k0 += kc) {
    Tile tile = first_tile(part, k0, std::min(kc, part.k - k0));
    tile.a_row = a.row;
    tile.a_step = a.column;
    tile.b_step = b.row;
    for (int64_t i0 = 0; i0 < part.m; i0 += mc) {
      const int64_t block_m = std::min(mc, part.m - i0);
      for (int64_t j = 0; j < part.n; j += nr) {
        tile.columns = std::min(nr, part.n - j);
        tile.b = b.data + k0 * b.row + j;
        const auto& tiles = tile.columns == nr      ? kTiles<Floats, 2, false, false>
                            : tile.columns > kLanes ? kTiles<Floats, 2, false, true>
                                                    : kTiles<Floats, 1, false, true>;
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

// Packing pays where each packed float is used often.
constexpr Tuning kTunings[] = {{{{{"pack", 0}}}}, {{{{"pack", 1}}}}};

Arithmetic arithmetic(const Problem& problem, bool packs, const DeviceInfo& device) {
  return {.multiply = packs ? cpu::pick(HWY_DISPATCH_TABLE(multiply_packed), device.cpu().hwy_target)
                            : cpu::pick(HWY_DISPATCH_TABLE(multiply_direct), device.cpu().hwy_target),
          .tile = cpu::pick(HWY_DISPATCH_TABLE(tile_shape), device.cpu().hwy_target)(),
          .packs = packs,
          .reads_panels = problem.dtype == DType::f32};
}

bool all_f32(const Problem& problem) { return problem.dtype == DType::f32 && problem.out_dtype == DType::f32; }

}  // namespace

extern const Variant cpu_gemm = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&) -> std::optional<std::string> {
      if (tuning["pack"] == 1) return std::nullopt;
      if (auto refusal = refuses_packed(problem)) return refusal;
      if (!all_f32(problem)) return "pack = 0 computes on operands and results as they are stored, in f32 only";
      if (problem.matmul().tb) return "pack = 0 reads rows of B, which tb stores as columns";
      return std::nullopt;
    },
    // Rows of B (and, by analogy, of a transposed A) that are short enough to follow one another through few pages need no
    // copies, nor does a B that is used only a few times (Zen 4, 190 shapes of 1 to 8117 by 33 to 8144 by 1 to 8045, memory cold:
    // up to 128 columns without a copy up to 50 % faster and never 2 % slower, beyond up to 73 % slower from 5 rows on).
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      const auto& shape = problem.matmul();
      constexpr int64_t kShort = 128, kFewUses = 4;
      const bool reads_well = (shape.n <= kShort || shape.m <= kFewUses) && (!shape.ta || shape.m <= kShort);
      return kTunings[all_f32(problem) && !shape.tb && !shape.packed && reads_well ? 0 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<BlockedProduct>(problem, arithmetic(problem, tuning["pack"] == 1, device), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      const int64_t k = problem.matmul().k;
      return fmt::format("gemm;kc={};{}", blocking_for(arithmetic(problem, true, device).tile, 1, 1, k, false, 1, device).kc,
                         device.cpu().isa);
    },
};

}  // namespace metallic::matmul
#endif
