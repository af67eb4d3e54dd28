// matmul cpu_gemm_bf16: the blocked product of bf16 matrices by dot products of two neighbours in K, of which a CPU with AVX-512
// BF16 does as many in a second as multiply-adds of one. Operands are packed as they are, in pairs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemm_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/matmul/blocked-inl.h"
#include "ops/matmul/blocked_product.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

#if METALLIC_BF16_DOTS

void multiply_pairs(const Part& part, const Blocking& blocking, float* workspace) {
  multiply_blocks<PairBlocks>(part.a.as<bfloat16_t>(), part.b.as<bfloat16_t>(), part, blocking, workspace);
}
MultiplyPart find_multiply() { return &multiply_pairs; }

#else
MultiplyPart find_multiply() { return nullptr; }
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

Arithmetic arithmetic(const DeviceInfo& device) {
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
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<BlockedProduct>(problem, arithmetic(device), device); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      const int64_t steps = ceil_div(problem.matmul().k, 2);
      return fmt::format("gemm_bf16;kc={};{}", blocking_for(arithmetic(device).tile, 1, 1, steps, false, 1, device).kc, device.cpu().isa);
    },
};

}  // namespace metallic::matmul
#endif
