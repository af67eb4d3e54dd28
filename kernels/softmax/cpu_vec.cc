// softmax cpu_vec: three passes over a row that stays in cache (max, exp and sum, scale); rows shared among threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_vec.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <type_traits>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/element.h"
#include "kernels/partition.h"
#include "kernels/softmax/contract.h"
#include "kernels/softmax/rows-inl.h"

#ifndef METALLIC_KERNELS_SOFTMAX_CPU_VEC_ONCE
#define METALLIC_KERNELS_SOFTMAX_CPU_VEC_ONCE
namespace metallic::softmax {
namespace {

using VecRows = void (*)(const SoftmaxShape&, const void* in, void* out, float* row, int64_t begin, int64_t end);

}  // namespace
}  // namespace metallic::softmax
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

// An output of 16 bits cannot hold the exponentials until their sum is known; `row` does, seq_k floats.
template <int kUnroll, typename In, typename Out>
void vec_rows(const SoftmaxShape& shape, const void* in, void* out, float* row, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const In* x = static_cast<const In*>(in) + i * shape.in_stride;
    Out* y = static_cast<Out*>(out) + i * shape.out_stride;
    const auto visible = static_cast<size_t>(visible_keys(shape, i));
    if (visible > 0) {
      float* terms = row;
      if constexpr (std::is_same_v<Out, float>) terms = y;
      const float max = row_max<kUnroll>(x, visible);
      const float sum = row_exp_sum<kUnroll, /*kStore=*/true>(x, max, shape.scale, terms, visible);
      row_scale(terms, 1 / sum, y, visible);
    }
    std::fill(y + visible, y + shape.seq_k, Out{});
  }
}

VecRows find_vec_rows(int64_t unroll, DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, [unroll]<typename In, typename Out>(In, Out) -> VecRows {
    return unroll == 1 ? &vec_rows<1, In, Out> : &vec_rows<4, In, Out>;
  });
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(find_vec_rows);

// How many independent accumulators hide the latency of max and add.
constexpr Tuning kTunings[] = {{{{{"unroll", 1}}}}, {{{{"unroll", 4}}}}};

class CpuVec final : public Kernel {
 public:
  CpuVec(const Problem& problem, VecRows rows)
      : shape_(problem.softmax()),
        tasks_(task_count(problem.threads, shape_.rows(), static_cast<double>(shape_.rows()) * static_cast<double>(shape_.seq_k),
                          kGrain)),
        // In whole cache lines, so that no two tasks write to one.
        row_(problem.out_dtype == DType::f32 ? 0 : (shape_.seq_k + 15) / 16 * 16),
        rows_(rows) {}

  size_t workspace() const override { return static_cast<size_t>(tasks_ * row_) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const auto index = static_cast<int64_t>(task);
      const Share part = share(shape_.rows(), tasks_, index);
      rows_(shape_, args.in[0], args.out, reinterpret_cast<float*>(workspace) + index * row_, part.begin, part.end);
    });
    return Code::ok;
  }

 private:
  SoftmaxShape shape_;
  int64_t tasks_;
  int64_t row_;  // floats of workspace for a task
  VecRows rows_;
};

}  // namespace

extern const Variant cpu_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
    // Four accumulators pay from a few vectors on; below, their folding costs more than it hides.
    .prefer = [](const Problem& problem, const DeviceFacts&) { return kTunings[problem.softmax().seq_k >= 256 ? 1 : 0]; },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto find = cpu::pick(HWY_DISPATCH_TABLE(find_vec_rows), facts.isa_bit);
      return std::make_unique<CpuVec>(problem, find(tuning["unroll"], problem.dtype, problem.out_dtype));
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      return "row;" + to_string(tuning) + ";" + facts.isa;
    },
};

}  // namespace metallic::softmax
#endif
