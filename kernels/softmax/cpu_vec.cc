// softmax cpu_vec: three passes over a row that stays in cache (max, exp and sum, scale); rows shared among threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_vec.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/partition.h"
#include "kernels/softmax/contract.h"
#include "kernels/softmax/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

template <int kUnroll>
void vec_rows(const SoftmaxShape& shape, const float* in, float* out, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const float* x = in + row * shape.in_stride;
    float* y = out + row * shape.out_stride;
    const auto visible = static_cast<size_t>(visible_keys(shape, row));
    if (visible > 0) {
      const float max = row_max<kUnroll>(x, visible);
      const float sum = row_exp_sum<kUnroll, /*kStore=*/true>(x, max, y, visible);
      row_scale(y, 1 / sum, visible);
    }
    std::fill(y + visible, y + shape.seq_k, 0.0f);
  }
}

void vec_rows_1(const SoftmaxShape& shape, const float* in, float* out, int64_t begin, int64_t end) {
  vec_rows<1>(shape, in, out, begin, end);
}
void vec_rows_4(const SoftmaxShape& shape, const float* in, float* out, int64_t begin, int64_t end) {
  vec_rows<4>(shape, in, out, begin, end);
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(vec_rows_1);
HWY_EXPORT(vec_rows_4);
using Rows = decltype(&HWY_STATIC_DISPATCH(vec_rows_1));

// How many independent accumulators hide the latency of max and add.
constexpr Tuning kTunings[] = {{{{{"unroll", 1}}}}, {{{{"unroll", 4}}}}};

class CpuVec final : public Kernel {
 public:
  CpuVec(const SoftmaxShape& shape, Rows rows) : shape_(shape), rows_(rows) {}

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    const auto* in = static_cast<const float*>(args.in[0]);
    auto* out = static_cast<float*>(args.out);
    const double elements = static_cast<double>(shape_.rows()) * static_cast<double>(shape_.seq_k);
    const int64_t tasks = task_count(executor.threads(), shape_.rows(), elements, kGrain);
    executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
      const Share part = share(shape_.rows(), tasks, static_cast<int64_t>(task));
      rows_(shape_, in, out, part.begin, part.end);
    });
    return Code::ok;
  }

 private:
  SoftmaxShape shape_;
  Rows rows_;
};

}  // namespace

extern const Variant cpu_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceFacts&) -> std::optional<std::string> {
      if (problem.dtype != DType::f32 || problem.out_dtype != DType::f32 || problem.softmax().scale != 1) return "takes f32 only";
      return std::nullopt;
    },
    // Four accumulators pay from a few vectors on; below, their folding costs more than it hides.
    .prefer = [](const Problem& problem, const DeviceFacts&) { return kTunings[problem.softmax().seq_k >= 256 ? 1 : 0]; },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const Rows rows = tuning["unroll"] == 1 ? cpu::pick(HWY_DISPATCH_TABLE(vec_rows_1), facts.isa_bit)
                                              : cpu::pick(HWY_DISPATCH_TABLE(vec_rows_4), facts.isa_bit);
      return std::make_unique<CpuVec>(problem.softmax(), rows);
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      return "row;" + to_string(tuning) + ";" + facts.isa;
    },
};

}  // namespace metallic::softmax
#endif
