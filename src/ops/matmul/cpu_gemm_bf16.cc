// SPDX-License-Identifier: Apache-2.0
// matmul cpu_gemm_bf16: the blocked GEMM of bf16 operands by dot products of pairs along K. AVX-512 BF16 computes a pair in the
// time of one f32 multiply-add. Operands are packed in pairs, without widening.
#include "ops/simd/bf16_target.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemm_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/simd/bf16_pairs-inl.h"  // first: it extends the target of what follows

#include "device/cpu/isa.h"
#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemm_kernel.h"
#include "ops/matmul/pairs-inl.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

#if METALLIC_BF16_DOTS

void multiply_pairs(const OutputBlock& block, const Blocking& blocking, float* workspace) {
  multiply_blocks<PairBlocks>(block.a.as<bfloat16_t>(), block.b.as<bfloat16_t>(), block, blocking, workspace);
}
MultiplyBlock find_multiply() { return &multiply_pairs; }

#else
MultiplyBlock find_multiply() { return nullptr; }
#endif

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(tile_shape);
HWY_EXPORT(find_multiply);

constexpr Tuning kTunings[] = {{}};

GemmMicroKernel micro_kernel(const DeviceInfo& device) {
  return {.multiply = cpu::pick(HWY_DISPATCH_TABLE(find_multiply), device.cpu().hwy_target)(),
          .tile = cpu::pick(HWY_DISPATCH_TABLE(tile_shape), device.cpu().hwy_target)(),
          .steps = [](int64_t k) { return ceil_div(k, 2); },
          .reads_panels = true,
          .per_ns = 2 * kPerNs};
}

}  // namespace

extern const Variant cpu_gemm_bf16 = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (problem.dtype != DType::bf16) return fmt::format("inputs are {}, not bf16", name(problem.dtype));
      if (!has_bf16_dots(device)) return "the CPU has no dot products of bf16";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceInfo&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceInfo& device, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<GemmKernel>(problem, micro_kernel(device), device); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      const int64_t steps = ceil_div(problem.as<MatmulShape>().k, 2);
      return fmt::format("gemm_bf16;kc={};{}", blocking_for(micro_kernel(device).tile, 1, 1, steps, false, 1, device).kc,
                         device.cpu().isa);
    },
};

}  // namespace metallic::matmul
#endif
