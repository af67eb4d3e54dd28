// SPDX-License-Identifier: Apache-2.0
// matmul cpu_gemv_bf16: up to 16 columns times bf16 weights whose rows are contiguous along K, by dot products of pairs; AVX-512
// BF16 does two multiply-adds in the time of one and needs no widening.
#include "ops/simd/bf16_target.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemv_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "ops/simd/bf16_pairs-inl.h"  // first: it extends the target of what follows

#include "device/cpu/isa.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemv_dot-inl.h"
#include "ops/matmul/gemv_kernel.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

#if METALLIC_BF16_DOTS

// W as it is stored, and X packed in the same type; a vector of either is 16 pairs.
struct PairDot {
  using Element = bfloat16_t;
  static constexpr int64_t kVectorK = 2 * kLanes;
  static HWY_INLINE hn::Vec<Lane> load(const bfloat16_t* from) { return hn::LoadU(Lane(), reinterpret_cast<const float*>(from)); }
  static HWY_INLINE hn::Vec<Lane> load(const bfloat16_t* from, size_t count) {
    const hn::Repartition<uint16_t, Lane> d16;
    return hn::BitCast(Lane(), hn::MaskedLoad(hn::FirstN(d16, count), d16, reinterpret_cast<const uint16_t*>(from)));
  }
  static HWY_INLINE hn::Vec<Lane> load_x(const float* from, size_t) { return hn::LoadU(Lane(), from); }  // zeros past K
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return dot_pairs(a, b, sum);
  }
};

void pack(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to) {
  const Strided<bfloat16_t> from = x.as<bfloat16_t>();
  for (int64_t v = begin; v < end; ++v) {
    const int64_t at = v * PairDot::kVectorK, count = std::min(PairDot::kVectorK, k - at);
    bfloat16_t vectors[kMostColumns][PairDot::kVectorK] = {};
    if (from.row == 1)
      for (int64_t j = 0; j < n; ++j) std::memcpy(vectors[j], &from.at(at, j), static_cast<size_t>(count) * sizeof(bfloat16_t));
    else
      for (int64_t i = 0; i < count; ++i)  // reads X row by row
        for (int64_t j = 0; j < n; ++j) vectors[j][i] = from.at(at + i, j);
    std::memcpy(to + v * n * kLanes, vectors, static_cast<size_t>(n) * sizeof vectors[0]);
  }
}

void multiply(const GemvArgs& p, int64_t begin, int64_t end) { dot_as<PairDot>(p, begin, end); }

GemvMicroKernel pair_kernel() {
  return {.pack = &pack, .multiply = &multiply, .vector_k = PairDot::kVectorK, .vector_floats = kLanes};
}

#else
GemvMicroKernel pair_kernel() { return {}; }
#endif

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(pair_kernel);

// `rows` is the number of weight rows of a register tile, which are as many streams.
constexpr Tuning kTunings[] = {{{{{"rows", 2}}}}, {{{{"rows", 4}}}}, {{{{"rows", 6}}}}};

}  // namespace

extern const Variant cpu_gemv_bf16 = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto refusal = refuses_packed(problem)) return refusal;
      const int64_t n = problem.as<MatmulShape>().small();
      if (n > kMostColumns) return fmt::format("n = {} is above {}", n, kMostColumns);
      if (problem.dtype != DType::bf16) return fmt::format("inputs are {}, not bf16", name(problem.dtype));
      if (!along_k(problem.as<MatmulShape>())) return "rows of the weights are not contiguous along K";
      if (!has_bf16_dots(device)) return "the CPU has no dot products of bf16";
      return std::nullopt;
    },
    // As in cpu_gemv, few columns share loads of X among six rows.
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      return kTunings[problem.as<MatmulShape>().small() <= 4 ? 2 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto micro_kernel = cpu::pick(HWY_DISPATCH_TABLE(pair_kernel), device.cpu().hwy_target);
      return std::make_unique<GemvKernel>(problem, tuning["rows"], micro_kernel(), device);
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      return "dot_bf16;" + device.cpu().isa;
    },
};

}  // namespace metallic::matmul
#endif
