// SPDX-License-Identifier: Apache-2.0
// matmul cpu_gemm: the blocked f32 GEMM. Operands are packed into panels of floats, or read in place: packed f32 weights, and all
// of B if that is faster.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "device/cpu/isa.h"
#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemm_kernel.h"
#include "ops/matmul/shape.h"
#include "ops/matmul/tile-inl.h"
#include "ops/variant.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

void multiply_packed(const OutputBlock& block, const Blocking& blocking, float* workspace) {
  with_type(block.a.dtype,
            [&]<typename In>(In) { multiply_blocks<F32Blocks>(block.a.as<In>(), block.b.as<In>(), block, blocking, workspace); });
}

void multiply_direct(const OutputBlock& block, const Blocking& blocking, float*) {
  const Strided<float> a = block.a.as<float>(), b = block.b.as<float>();
  const int64_t mr = blocking.tile.mr, nr = blocking.tile.nr, mc = blocking.mc, kc = blocking.kc;
  for (int64_t k0 = 0; k0 < block.k; k0 += kc) {
    RegisterTile tile = first_tile(block, k0, std::min(kc, block.k - k0));
    tile.a_row = a.row;
    tile.a_step = a.column;
    tile.b_step = b.row;
    for (int64_t i0 = 0; i0 < block.m; i0 += mc) {
      const int64_t block_m = std::min(mc, block.m - i0);
      for (int64_t j = 0; j < block.n; j += nr) {
        tile.columns = std::min(nr, block.n - j);
        tile.b = b.data + k0 * b.row + j;
        const auto& kernels = tile.columns == nr      ? kMicroKernels<F32Step, 2, false, false>
                              : tile.columns > kLanes ? kMicroKernels<F32Step, 2, false, true>
                                                      : kMicroKernels<F32Step, 1, false, true>;
        for (int64_t i = 0; i < block_m; i += mr) {
          tile.a = &a.at(i0 + i, k0);
          tile.c = static_cast<float*>(block.c) + (i0 + i) * block.c_row + j;
          kernels[static_cast<size_t>(std::min(mr, block_m - i) - 1)](tile);
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

// `pack` copies operands into panels, which pays off if each packed float is used often.
constexpr Tuning kTunings[] = {{{{{"pack", 0}}}}, {{{{"pack", 1}}}}};

GemmMicroKernel micro_kernel(const Problem& problem, bool packs, const DeviceInfo& device) {
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
      if (problem.as<MatmulShape>().tb) return "pack = 0 reads rows of B, which tb stores as columns";
      return std::nullopt;
    },
    // Short rows of B cover few pages and need no packing, nor do those of a transposed A. A B that is used only a few times
    // needs none either. Up to 128 columns, reading B in place was up to 50 % faster and never 2 % slower; beyond, from 5 rows
    // on, it was up to 73 % slower (Zen 4, 190 shapes of 1 to 8117 by 33 to 8144 by 1 to 8045, cold caches).
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      const auto& shape = problem.as<MatmulShape>();
      constexpr int64_t kShort = 128, kFewUses = 4;
      const bool reads_well = (shape.n <= kShort || shape.m <= kFewUses) && (!shape.ta || shape.m <= kShort);
      return kTunings[all_f32(problem) && !shape.tb && !shape.packed && reads_well ? 0 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<GemmKernel>(problem, micro_kernel(problem, tuning["pack"] == 1, device), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      const int64_t k = problem.as<MatmulShape>().k;
      return fmt::format("gemm;kc={};{}", blocking_for(micro_kernel(problem, true, device).tile, 1, 1, k, false, 1, device).kc,
                         device.cpu().isa);
    },
};

}  // namespace metallic::matmul
#endif
