// SPDX-License-Identifier: Apache-2.0
// softmax cpu_vec: three passes over each row (maximum, exponentials with their sum, scaling) while it stays in cache; tasks
// share the rows.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/softmax/cpu_vec.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "base/math.h"
#include "device/cpu/isa.h"
#include "ops/element.h"
#include "ops/partition.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/rows-inl.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

#ifndef METALLIC_OPS_SOFTMAX_CPU_VEC_ONCE
#define METALLIC_OPS_SOFTMAX_CPU_VEC_ONCE
namespace metallic::softmax {
namespace {

// Floats of a row in whole cache lines, which keeps two tasks from writing to one line.
constexpr int64_t padded(int64_t seq_k) { return round_up(seq_k, 16); }

// Computes rows [begin, end). `ahead` is the distance from a row to the one that is prefetched meanwhile, or 0.
using VecRows = void (*)(const SoftmaxShape&, const void* in, void* out, float* row, int64_t begin, int64_t end, int64_t ahead);

}  // namespace
}  // namespace metallic::softmax
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

// Where the output has 16 bits, `row` holds the exponentials, seq_k floats; otherwise the output holds them.
template <int kUnroll, typename In, typename Out>
void vec_rows(const SoftmaxShape& shape, const void* in, void* out, float* row, int64_t begin, int64_t end, int64_t ahead) {
  for (int64_t i = begin; i < end; ++i) {
    const In* x = static_cast<const In*>(in) + i * shape.in_stride;
    Out* y = static_cast<Out*>(out) + i * shape.out_stride;
    const auto visible = static_cast<size_t>(visible_keys(shape, i));
    if (visible > 0) {
      float* terms = row;
      if constexpr (std::is_same_v<Out, float>) terms = y;
      const float max = row_max<kUnroll>(x, visible);
      const float sum = row_exp_sum<kUnroll>(x, max, shape.scale, terms, visible, i + 1 < end ? ahead : 0);
      row_scale(terms, 1 / sum, y, visible);
    }
    write_zeros</*kStream=*/false>(y + visible, static_cast<size_t>(shape.seq_k) - visible);
  }
}

// The same with non-temporal stores. One loop writes a row, computes the exponentials of the next and prefetches the one after
// it, which keeps memory busy all the time. `rows` holds the exponentials of two rows.
template <int kUnroll, typename In, typename Out>
void streamed_rows(const SoftmaxShape& shape, const void* in, void* out, float* rows, int64_t begin, int64_t end, int64_t ahead) {
  using Write = Scaling</*kStream=*/true, Out>;
  // The row before, which is not written yet.
  const float* previous_terms = nullptr;
  Out* previous_y = nullptr;
  size_t previous_count = 0;
  float previous_factor = 0;
  for (int64_t i = begin; i < end; ++i) {
    const In* x = static_cast<const In*>(in) + i * shape.in_stride;
    Out* y = static_cast<Out*>(out) + i * shape.out_stride;
    float* terms = rows + i % 2 * padded(shape.seq_k);
    const auto visible = static_cast<size_t>(visible_keys(shape, i));
    Write previous(previous_terms, previous_factor, previous_y, previous_count);
    const float max = row_max<kUnroll>(x, visible);
    // Memory bounds this loop. It prefetches even where `ahead` is 0, because a second loop would only cost compile time.
    Exponentials<kUnroll, /*kPrefetch=*/true, In> exponentials(x, visible, max, shape.scale, terms, i + 1 < end ? ahead : 0);
    run_together<kUnroll>(exponentials, previous);
    previous_terms = terms, previous_y = y, previous_count = visible, previous_factor = 1 / exponentials.result();
    write_zeros</*kStream=*/true>(y + visible, static_cast<size_t>(shape.seq_k) - visible);
  }
  Write last(previous_terms, previous_factor, previous_y, previous_count);
  run_from<1>(last, 0);
  hwy::FlushStream();
}

VecRows find_vec_rows(int64_t unroll, [[maybe_unused]] bool stream, DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, [=]<typename In, typename Out>(In, Out) -> VecRows {
#if HWY_TARGET != HWY_SCALAR  // which has no non-temporal stores
    if (stream) return unroll == 1 ? &streamed_rows<1, In, Out> : &streamed_rows<4, In, Out>;
#endif
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

// `unroll` is the number of independent accumulators, which hide the latency of max and add.
constexpr Tuning kTunings[] = {{{{{"unroll", 1}}}}, {{{{"unroll", 4}}}}};

class CpuVec final : public Kernel {
 public:
  CpuVec(const Problem& problem, bool stream, VecRows rows, const DeviceInfo& device)
      : shape_(problem.as<SoftmaxShape>()),
        tasks_(task_count(problem.threads, shape_.rows(), work_before(shape_, shape_.rows()), kPerNs, device)),
        begins_(ranges_by_work(shape_.rows(), tasks_, [this](int64_t row) { return work_before(shape_, row); })),
        row_(stream                            ? 2 * padded(shape_.seq_k)
             : problem.out_dtype == DType::f32 ? 0
                                               : padded(shape_.seq_k)),
        // A row, its exponentials, those of the previous row and the next row must fit in the second cache level.
        ahead_(shape_.seq_k * 16 < device.cpu().l2_bytes ? shape_.in_stride : 0),
        rows_(rows) {}

  size_t workspace() const override { return static_cast<size_t>(tasks_ * row_) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      float* row = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * row_;
      rows_(shape_, args.in[0], args.out, row, begins_[task], begins_[task + 1], ahead_);
    });
    return Code::ok;
  }

 private:
  SoftmaxShape shape_;
  int64_t tasks_;
  std::vector<int64_t> begins_;  // the first row of each task, then the end
  int64_t row_;                  // floats of workspace per task
  int64_t ahead_;
  VecRows rows_;
};

}  // namespace

extern const Variant cpu_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    // Four accumulators pay off for keys of 16 bits, which are widened first. For f32 the loads take as long as the maxima. There
    // one accumulator is 1 to 5 % faster from 500 keys on, and 10 to 30 % below, where the reduction costs more than the latency
    // that it hides (Zen 4).
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      return kTunings[problem.dtype != DType::f32 && problem.as<SoftmaxShape>().seq_k >= 512 ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto find = cpu::pick(HWY_DISPATCH_TABLE(find_vec_rows), device.cpu().hwy_target);
      const bool stream = streams(problem, device);
      return std::make_unique<CpuVec>(problem, stream, find(tuning["unroll"], stream, problem.dtype, problem.out_dtype), device);
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "row;" + to_string(tuning) + ";" + device.cpu().isa;
    },
};

}  // namespace metallic::softmax
#endif
