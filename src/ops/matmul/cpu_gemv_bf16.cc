// matmul cpu_gemv_bf16: up to 16 columns against bf16 weights whose rows lie along K, by dot products of pairs: nothing is
// widened, and a CPU with AVX-512 BF16 does two multiply-adds in the time of one.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemv_bf16.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemv-inl.h"
#include "ops/matmul/streamed_product.h"
#include "ops/simd/bf16_pairs-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

#if METALLIC_BF16_DOTS

// W as it is stored and X in the same type: a vector of either is pairs that pass for floats.
struct Paired {
  using Element = bfloat16_t;
  static constexpr int64_t kOfVector = 2 * kLanes;
  static HWY_INLINE hn::Vec<Lane> load(const bfloat16_t* from) { return hn::LoadU(Lane(), reinterpret_cast<const float*>(from)); }
  static HWY_INLINE hn::Vec<Lane> load(const bfloat16_t* from, size_t count) {
    const hn::Repartition<uint16_t, Lane> d16;
    return hn::BitCast(Lane(), hn::MaskedLoad(hn::FirstN(d16, count), d16, reinterpret_cast<const uint16_t*>(from)));
  }
  static HWY_INLINE hn::Vec<Lane> load_x(const float* from, size_t) { return hn::LoadU(Lane(), from); }  // has zeros past K
  template <class V>
  static HWY_INLINE V multiply_add(V a, V b, V sum) {
    return dot_pairs(a, b, sum);
  }
};

void pack(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to) {
  const Strided<bfloat16_t> from = x.as<bfloat16_t>();
  for (int64_t v = begin; v < end; ++v) {
    const int64_t at = v * Paired::kOfVector, count = std::min(Paired::kOfVector, k - at);
    bfloat16_t vectors[kMostColumns][Paired::kOfVector] = {};
    if (from.row == 1)
      for (int64_t j = 0; j < n; ++j) std::memcpy(vectors[j], &from.at(at, j), static_cast<size_t>(count) * sizeof(bfloat16_t));
    else
      for (int64_t i = 0; i < count; ++i)  // a row of X at a time
        for (int64_t j = 0; j < n; ++j) vectors[j][i] = from.at(at + i, j);
    std::memcpy(to + v * n * kLanes, vectors, static_cast<size_t>(n) * sizeof vectors[0]);
  }
}

void multiply(const Columns& p, int64_t begin, int64_t end) { dot_as<Paired>(p, begin, end); }

Streaming streaming() { return {.pack = &pack, .multiply = &multiply, .of_vector = Paired::kOfVector, .floats = kLanes}; }

#else
Streaming streaming() { return {}; }
#endif

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(streaming);

// Weight rows at a time: as many accumulators and streams.
constexpr Tuning kTunings[] = {{{{{"rows", 2}}}}, {{{{"rows", 4}}}}, {{{{"rows", 6}}}}};

Streaming streaming_on(const DeviceInfo& device) { return cpu::pick(HWY_DISPATCH_TABLE(streaming), device.cpu().hwy_target)(); }

}  // namespace

extern const Variant cpu_gemv_bf16 = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto refusal = refuses_packed(problem)) return refusal;
      const int64_t n = problem.matmul().small();
      if (n > kMostColumns) return fmt::format("n = {} is above {}", n, kMostColumns);
      if (problem.dtype != DType::bf16) return fmt::format("inputs are {}, not bf16", name(problem.dtype));
      if (!along_k(problem.matmul())) return "rows of the weights lie across K";
      if (!has_bf16_dots(device)) return "the CPU has no dot products of bf16";
      return std::nullopt;
    },
    // As for cpu_gemv: few columns share loads of X among six rows.
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      return kTunings[problem.matmul().small() <= 4 ? 2 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<StreamedProduct>(problem, tuning["rows"], streaming_on(device), device);
    },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      return "dot_bf16;" + device.cpu().isa;
    },
};

}  // namespace metallic::matmul
#endif
