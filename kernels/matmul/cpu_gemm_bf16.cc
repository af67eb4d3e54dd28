// matmul cpu_gemm_bf16: the blocked product of bf16 matrices by dot products of two neighbours in K, of which a CPU with AVX-512
// BF16 does as many in a second as multiply-adds of one. Operands are packed as they are, in pairs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/cpu_gemm_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/matmul/blocked-inl.h"
#include "kernels/matmul/blocked_product.h"
#include "kernels/matmul/contract.h"
#include "kernels/simd/bf16_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

#if METALLIC_BF16_DOTS

// A step of K: a pair of A by a vector of pairs of B, each pair 32 bits that pass for a float.
struct Pairs {
  static constexpr int64_t kOfK = 2;

  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return dot_pairs(a, b, sum);
  }

  // As pack_panel does it with floats; `depth` elements of K make half as many steps, a last one without a partner has a 0.
  template <int kVecs>
  static void pack(const bfloat16_t* from, int64_t across, int64_t along, int64_t width, int64_t readable, int64_t depth,
                   float* to, int64_t step) {
    if (across == 1)
      interleave<kVecs>(from, along, width, readable, depth, to, step);
    else
      transpose<kVecs>(from, across, width, depth, to, step);
  }

 private:
  // Two rows of `width` neighbours along M or N become one of pairs.
  template <int kVecs>
  static void interleave(const bfloat16_t* from, int64_t along, int64_t width, int64_t readable, int64_t depth, float* to,
                         int64_t step) {
    HWY_ALIGN bfloat16_t stage[2][kVecs * kLanes] = {};
    const bool whole = readable >= kVecs * kLanes;
    for (int64_t k = 0; k < depth; k += 2, from += 2 * along, to += step) {
      const bfloat16_t* rows[2] = {from, from + along};
      // Each step is two short pieces of other pages, which the hardware prefetchers do not foresee.
      for (const bfloat16_t* row : rows) hwy::Prefetch(row + (k + 16 < depth ? 16 * along : 0));
      if (!whole || k + 2 > depth)
        for (int64_t i = 0; i < 2; ++i) {
          const int64_t count = k + i < depth ? std::min(width, kVecs * kLanes) : 0;
          if (count > 0) std::memcpy(stage[i], rows[i], static_cast<size_t>(count) * sizeof(bfloat16_t));
          std::fill(stage[i] + count, stage[i] + kVecs * kLanes, bfloat16_t{});
          rows[i] = stage[i];
        }
      for (int64_t v = 0; v < kVecs * kLanes; v += kLanes)
        hn::StoreU(interleave_pairs(Lane(), rows[0] + v, rows[1] + v), Lane(), to + v);
    }
  }

  // Neighbours along K are pairs already: of whole pairs four steps of all rows are transposed at a time.
  template <int kVecs>
  static void transpose(const bfloat16_t* from, int64_t across, int64_t width, int64_t depth, float* to, int64_t step) {
    const float* rows[kVecs * kLanes];  // that do not exist are read as the last one
    for (int64_t i = 0; i < kVecs * kLanes; ++i) rows[i] = reinterpret_cast<const float*>(from + std::min(i, width - 1) * across);
    int64_t pair = 0;
    for (; 2 * (pair + 4) <= depth; pair += 4) {
      hn::Vec<Lane> steps[kVecs][4];
      for (int64_t v = 0; v < kVecs; ++v) {
        for (int64_t j = 0; j < 4; ++j) steps[v][j] = load_blocks(Lane(), rows + v * kLanes + j, pair);
        transpose_blocks(Lane(), steps[v]);
      }
      for (int64_t j = 0; j < 4; ++j)
        for (int64_t v = 0; v < kVecs; ++v) hn::StoreU(steps[v][j], Lane(), to + (pair + j) * step + v * kLanes);
    }
    for (; 2 * pair < depth; ++pair)
      for (int64_t i = 0; i < step; ++i) {
        bfloat16_t both[2] = {};
        for (int64_t j = 0; i < width && j < std::min<int64_t>(2, depth - 2 * pair); ++j)
          both[j] = from[i * across + 2 * pair + j];
        to[pair * step + i] = std::bit_cast<float>(both);
      }
  }
};

void multiply_pairs(const Part& part, const Blocking& blocking, float* workspace) {
  multiply_blocks<Pairs>(part.a.as<bfloat16_t>(), part.b.as<bfloat16_t>(), part, blocking, workspace);
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

Arithmetic arithmetic(const DeviceFacts& facts) {
  return {.multiply = cpu::pick(HWY_DISPATCH_TABLE(find_multiply), facts.isa_bit)(),
          .tile = cpu::pick(HWY_DISPATCH_TABLE(tile_shape), facts.isa_bit)(),
          .of_k = 2,
          .packs = true};
}

}  // namespace

extern const Variant cpu_gemm_bf16 = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      if (problem.dtype != DType::bf16) return fmt::format("inputs are {}, not bf16", name(problem.dtype));
      if (!has_bf16_dots(facts)) return "the CPU has no dot products of bf16";
      return std::nullopt;
    },
    .prefer = [](const Problem&, const DeviceFacts&) -> const Tuning& { return kTunings[0]; },
    .prepare = [](const Problem& problem, const Tuning&, const DeviceFacts& facts, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<BlockedProduct>(problem, arithmetic(facts), facts); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      const int64_t steps = ceil_div(problem.matmul().k, 2);
      return fmt::format("gemm_bf16;kc={};{}", blocking_for(arithmetic(facts).tile, 1, 1, steps, false, 1, facts).kc, facts.isa);
    },
};

}  // namespace metallic::matmul
#endif
