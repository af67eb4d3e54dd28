// matmul cpu_gemv: up to 16 rows or columns against a big matrix of weights, which is streamed from memory once, in the
// order and the type in which it is stored; the tasks share its big dimension, and only the small operand is ever packed.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/matmul/cpu_gemv.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/gemv-inl.h"
#include "ops/matmul/streamed_product.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::matmul::HWY_NAMESPACE {
namespace {

void pack_vectors(const Operand& x, int64_t k, int64_t n, int64_t begin, int64_t end, float* to) {
  with_type(x.dtype, [&]<typename T>(T) { pack_vectors_as(x.as<T>(), k, n, begin, end, to); });
}
void dot(const Columns& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&]<typename T>(T) { dot_as<Widened<T>>(p, begin, end); });
}

void pack_rows(const Operand& x, int64_t, int64_t n, int64_t begin, int64_t end, float* to) {
  with_type(x.dtype, [&]<typename T>(T) { pack_rows_as(x.as<T>(), n, begin, end, to); });
}
void scaled(const Columns& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&]<typename T>(T) { scaled_rows<T>(p, begin, end); });
}

// Dot products take X by vectors of K, scaled rows by rows of n.
Streaming dots() { return {.pack = &pack_vectors, .multiply = &dot, .of_vector = kLanes, .floats = kLanes}; }
Streaming sums_of_rows() { return {.pack = &pack_rows, .multiply = &scaled}; }

}  // namespace
}  // namespace metallic::matmul::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::matmul {
namespace {

HWY_EXPORT(dots);
HWY_EXPORT(sums_of_rows);

// Weight rows at a time: as many accumulators and streams for dot products, four times as many rows for scaled rows.
constexpr Tuning kTunings[] = {{{{{"rows", 2}}}}, {{{{"rows", 4}}}}, {{{{"rows", 6}}}}};

}  // namespace

extern const Variant cpu_gemv = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo&) -> std::optional<std::string> {
      if (auto refusal = refuses_packed(problem)) return refusal;
      const int64_t n = problem.matmul().small();
      if (n > kMostColumns) return fmt::format("n = {} is above {}", n, kMostColumns);
      return std::nullopt;
    },
    // Few columns need six rows for their independent sums and the sharing of loads of X; more fill the registers with four, of
    // sixteen registers with two. Over 160 shapes of 1 to 16 columns from memory no other number was better by more than 15 %.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const int64_t n = problem.matmul().small();
      if (!device.cpu().isa.starts_with("AVX3")) return kTunings[n == 1 ? 1 : 0];
      return kTunings[n <= 4 || !along_k(problem.matmul()) ? 2 : 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const Streaming streaming = along_k(problem.matmul()) ? cpu::pick(HWY_DISPATCH_TABLE(dots), device.cpu().hwy_target)()
                                                            : cpu::pick(HWY_DISPATCH_TABLE(sums_of_rows), device.cpu().hwy_target)();
      return std::make_unique<StreamedProduct>(problem, tuning["rows"], streaming, device);
    },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceInfo& device) -> std::optional<std::string> {
      return (along_k(problem.matmul()) ? "dot;" : "scaled_rows;") + device.cpu().isa;
    },
};

}  // namespace metallic::matmul
#endif
