// softmax cpu_vec: three passes over a row that stays in cache (max, exp and sum, scale), or those of three consecutive rows in
// one loop; rows shared among threads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_vec.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <type_traits>
#include <vector>

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

// `row` holds the exponentials, seq_k floats, where the output cannot: it has 16 bits, or is written once and past the caches.
template <int kUnroll, bool kStream, typename In, typename Out>
void vec_rows(const SoftmaxShape& shape, const void* in, void* out, float* row, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const In* x = static_cast<const In*>(in) + i * shape.in_stride;
    Out* y = static_cast<Out*>(out) + i * shape.out_stride;
    const auto visible = static_cast<size_t>(visible_keys(shape, i));
    if (visible > 0) {
      float* terms = row;
      if constexpr (std::is_same_v<Out, float> && !kStream) terms = y;
      Maximum<kUnroll, In> maximum(x, visible);
      finish<kUnroll>(maximum, 0);
      Exponentials<kUnroll, /*kPrefetch=*/kStream, In> exponentials(x, visible, maximum.result(), shape.scale, terms);
      finish<kUnroll>(exponentials, 0);
      Scaling<kStream, Out> scaling(terms, 1 / exponentials.result(), y, visible);
      finish<1>(scaling, 0);
    }
    write_zeros<kStream>(y + visible, static_cast<size_t>(shape.seq_k) - visible);
  }
  if constexpr (kStream) hwy::FlushStream();
}

// While the exponentials of row i are computed, the maximum of the next row is found and the row before is scaled out of `row`:
// the passes' operations go to different pipes of the core, and no pass waits for the horizontal sum or maximum of its own row.
template <typename In, typename Out>
void overlapped_rows(const SoftmaxShape& shape, const void* in, void* out, float* row, int64_t begin, int64_t end) {
  const auto visible = [&](int64_t i) { return begin <= i && i < end ? static_cast<size_t>(visible_keys(shape, i)) : 0; };
  const auto x = [&](int64_t i) { return static_cast<const In*>(in) + std::clamp(i, begin, end - 1) * shape.in_stride; };
  const auto y = [&](int64_t i) { return static_cast<Out*>(out) + std::clamp(i, begin, end - 1) * shape.out_stride; };
  if (begin == end) return;
  float max = kMinusInfinity, sum = 0;
  for (int64_t i = begin - 1; i <= end; ++i) {
    const size_t done = visible(i - 1);
    // Each place in `row` is read before the exponential of row i is written there.
    Scaling</*kStream=*/false, Out> scaling(row, 1 / sum, y(i - 1), done);
    Exponentials<1, /*kPrefetch=*/false, In> exponentials(x(i), visible(i), max, shape.scale, row);
    Maximum<1, In> maximum(x(i + 1), visible(i + 1));
    run_together(scaling, exponentials, maximum);
    if (i > begin) write_zeros</*kStream=*/false>(y(i - 1) + done, static_cast<size_t>(shape.seq_k) - done);
    sum = exponentials.result();
    max = maximum.result();
  }
}

VecRows find_vec_rows(const Tuning& tuning, DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, [&]<typename In, typename Out>(In, Out) -> VecRows {
    if (tuning["rows"] == 3) return &overlapped_rows<In, Out>;
    if (tuning["stream"] == 1) return &vec_rows<1, true, In, Out>;
    return tuning["unroll"] == 1 ? &vec_rows<1, false, In, Out> : &vec_rows<4, false, In, Out>;
  });
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(find_vec_rows);

// unroll: how many independent accumulators hide the latency of max and add. rows: how many are in work at once. stream: the
// output is written past the caches, which saves reading it first.
constexpr Tuning kTunings[] = {{{{{"unroll", 1}}}}, {{{{"unroll", 4}}}}, {{{{"rows", 3}}}}, {{{{"stream", 1}}}}};

class CpuVec final : public Kernel {
 public:
  CpuVec(const Problem& problem, const Tuning& tuning, VecRows rows)
      : shape_(problem.softmax()),
        tasks_(task_count(problem.threads, shape_.rows(), work_before(shape_, shape_.rows()), kGrain)),
        begins_(shares_by_work(shape_.rows(), tasks_, [this](int64_t row) { return work_before(shape_, row); })),
        // In whole cache lines, so that no two tasks write to one.
        row_(problem.out_dtype == DType::f32 && tuning["rows"] == 0 && tuning["stream"] == 0 ? 0 : (shape_.seq_k + 15) / 16 * 16),
        rows_(rows) {}

  size_t workspace() const override { return static_cast<size_t>(tasks_ * row_) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      float* row = reinterpret_cast<float*>(workspace) + static_cast<int64_t>(task) * row_;
      rows_(shape_, args.in[0], args.out, row, begins_[task], begins_[task + 1]);
    });
    return Code::ok;
  }

 private:
  SoftmaxShape shape_;
  int64_t tasks_;
  std::vector<int64_t> begins_;  // of the tasks' rows, and the end of the last
  int64_t row_;                  // floats of workspace for a task
  VecRows rows_;
};

Tuning preferred(const Problem& problem, const DeviceFacts& facts) {
  const auto& shape = problem.softmax();
  const auto bytes = operand_bytes(problem);
  if (bytes[0] + bytes[kOut] > 2 * facts.llc_bytes) return kTunings[3];
  // Below a few vectors, folding accumulators costs more than it hides; three rows in work have to stay in the first cache level.
  if (shape.seq_k < 256) return kTunings[0];
  return kTunings[shape.seq_k < 1024 && shape.rows() >= 4 * problem.threads ? 2 : 1];
}

}  // namespace

extern const Variant cpu_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
    .prefer = preferred,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto find = cpu::pick(HWY_DISPATCH_TABLE(find_vec_rows), facts.isa_bit);
      return std::make_unique<CpuVec>(problem, tuning, find(tuning, problem.dtype, problem.out_dtype));
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      return "row;" + to_string(tuning) + ";" + facts.isa;
    },
};

}  // namespace metallic::softmax
#endif
