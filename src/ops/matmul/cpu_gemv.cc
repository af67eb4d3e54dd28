// SPDX-License-Identifier: Apache-2.0
// matmul cpu_gemv: up to 16 rows or columns times a big matrix of weights, which is read once as it is stored; only the small
// operand is packed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemv.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "device/cpu/isa.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemv_axpy-inl.h"
#include "ops/matmul/gemv_dot-inl.h"
#include "ops/matmul/gemv_kernel.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

void pack_vectors(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to) {
  with_type(x.dtype, [&]<typename T>(T) { pack_vectors_as(x.as<T>(), k, n, begin, end, to); });
}
void dot(const GemvArgs& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&]<typename T>(T) { dot_as<WidenedDot<T>>(p, begin, end); });
}

void pack_rows(const Operand& x, int64_t, int64_t n, int64_t begin, int64_t end, float* to) {
  with_type(x.dtype, [&]<typename T>(T) { pack_rows_as(x.as<T>(), n, begin, end, to); });
}
void axpy(const GemvArgs& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&]<typename T>(T) { axpy_rows<T>(p, begin, end); });
}

GemvMicroKernel dot_kernel() { return {.pack = &pack_vectors, .multiply = &dot, .vector_k = kLanes, .vector_floats = kLanes}; }
GemvMicroKernel axpy_kernel() { return {.pack = &pack_rows, .multiply = &axpy}; }

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(dot_kernel);
HWY_EXPORT(axpy_kernel);

// `rows` is the number of weight rows of a register tile of dot products, which are as many streams; axpy takes four times as
// many in a block.
constexpr Tuning kTunings[] = {{{{{"rows", 2}}}}, {{{{"rows", 4}}}}, {{{{"rows", 6}}}}};

}  // namespace

extern const Variant cpu_gemv = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo&) -> std::optional<std::string> {
      if (auto refusal = refuses_packed(problem)) return refusal;
      const int64_t n = problem.as<MatmulShape>().small();
      if (n > kMostColumns) return fmt::format("n = {} is above {}", n, kMostColumns);
      return std::nullopt;
    },
    // Few columns need six rows to have enough independent sums and to share loads of X. More columns fill the 32 registers of
    // AVX-512 with four rows, or 16 registers with two. Over 160 shapes of 1 to 16 columns, with weights in memory, no other
    // number of rows was more than 15 % faster.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const int64_t n = problem.as<MatmulShape>().small();
      if (!device.cpu().isa.starts_with("AVX3")) return kTunings[n == 1 ? 1 : 0];
      return kTunings[n <= 4 || !along_k(problem.as<MatmulShape>()) ? 2 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto micro_kernel = along_k(problem.as<MatmulShape>())
                                    ? cpu::pick(HWY_DISPATCH_TABLE(dot_kernel), device.cpu().hwy_target)
                                    : cpu::pick(HWY_DISPATCH_TABLE(axpy_kernel), device.cpu().hwy_target);
      return std::make_unique<GemvKernel>(problem, tuning["rows"], micro_kernel(), device);
    },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      return (along_k(problem.as<MatmulShape>()) ? "dot;" : "scaled_rows;") + device.cpu().isa;
    },
};

}  // namespace metallic::matmul
#endif
