// SPDX-License-Identifier: Apache-2.0
// softmax cpu_block: online softmax over segments of a row that fit in cache; the exponentials of a segment are relative to its
// own maximum and are rescaled when they are written. Tasks share rows, or segments if rows are few.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/softmax/cpu_block.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/math.h"
#include "device/cpu/isa.h"
#include "ops/element.h"
#include "ops/partition.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/rows-inl.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

#ifndef METALLIC_OPS_SOFTMAX_CPU_BLOCK_ONCE
#define METALLIC_OPS_SOFTMAX_CPU_BLOCK_ONCE
namespace metallic::softmax {
namespace {

// A maximum and the sum of exponentials relative to it, or relative to 0 if the maximum is −∞.
struct MaxAndSum {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

// The factor from a sum relative to maximum `from` to one relative to `to`. Equal maxima are not subtracted: −∞ − −∞ is NaN.
inline float rescaling(float from, float to, float scale) { return from == to ? 1.0f : std::exp((from - to) * scale); }

// Joins two segments.
inline MaxAndSum join(MaxAndSum a, MaxAndSum b, float scale) {
  const float max = std::fmax(a.max, b.max);
  return {max, a.sum * rescaling(a.max, max, scale) + b.sum * rescaling(b.max, max, scale)};
}

// The passes over a segment, for given types of input and output. `terms` are its exponentials.
struct SegmentPasses {
  // Prefetches the elements `ahead` of x, unless `ahead` is 0.
  MaxAndSum (*reduce)(const void* x, float scale, float* terms, size_t count, int64_t ahead);
  // The first `count` of `length` keys are visible.
  void (*write)(const float* terms, float factor, void* y, size_t count, size_t length);
};

}  // namespace
}  // namespace metallic::softmax
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

template <typename In>
MaxAndSum segment_reduce(const void* from, float scale, float* terms, size_t count, int64_t ahead) {
  const auto* x = static_cast<const In*>(from);
  const float max = row_max<4>(x, count), reference = max == kMinusInfinity ? 0.0f : max;
  return {max, row_exp_sum<1>(x, reference, scale, terms, count, ahead)};
}

template <bool kStream, typename Out>
void segment_write(const float* terms, float factor, void* to, size_t count, size_t length) {
  auto* y = static_cast<Out*>(to);
  Scaling<kStream, Out> scaling(terms, factor, y, count);
  run_from<1>(scaling, 0);
  write_zeros<kStream>(y + count, length - count);
}

SegmentPasses find_passes(bool stream, DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, [=]<typename In, typename Out>(In, Out) -> SegmentPasses {
    return {&segment_reduce<In>, stream ? &segment_write<true, Out> : &segment_write<false, Out>};
  });
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(find_passes);

// `segment` is the number of keys in a segment, which is read twice in a row from the first or second cache level.
constexpr Tuning kTunings[] = {{{{{"segment", 1024}}}}, {{{{"segment", 4096}}}}};

class CpuBlock final : public Kernel {
 public:
  CpuBlock(const Problem& problem, int64_t segment, bool stream, SegmentPasses passes, const DeviceInfo& device)
      : shape_(problem.as<SoftmaxShape>()),
        in_size_(static_cast<int64_t>(size_of(problem.dtype))),
        out_size_(static_cast<int64_t>(size_of(problem.out_dtype))),
        segment_(segment),
        segments_(ceil_div(shape_.seq_k, segment_)),
        stream_(stream),
        tasks_(task_count(problem.threads, shape_.rows() * segments_, work_before(shape_, shape_.rows()), kPerNs, device)),
        begins_(ranges_by_work(shape_.rows(), tasks_, [this](int64_t row) { return work_before(shape_, row); })),
        // Whole cache lines keep two tasks from writing to one line.
        terms_(problem.out_dtype == DType::f32 && !stream_ ? 0 : round_up(shape_.seq_k, 16)),
        partials_(round_up(segments_, 8)),
        passes_(passes) {}

  size_t workspace() const override {
    const int64_t rows = splits_rows() ? shape_.rows() : tasks_;
    return static_cast<size_t>(rows) * row_bytes();
  }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    const auto row = [&](int64_t index, int64_t place) {
      std::byte* memory = workspace + static_cast<size_t>(place) * row_bytes();
      std::byte* y = static_cast<std::byte*>(args.out) + index * shape_.out_stride * out_size_;
      auto* partials = reinterpret_cast<MaxAndSum*>(memory);
      return Row{.x = static_cast<const std::byte*>(args.in[0]) + index * shape_.in_stride * in_size_,
                 .y = y,
                 .terms = reinterpret_cast<float*>(terms_ > 0 ? memory + static_cast<size_t>(partials_) * sizeof(MaxAndSum) : y),
                 .partials = partials,
                 .visible = visible_keys(shape_, index)};
    };
    if (!splits_rows()) {
      executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
        for (int64_t i = begins_[task]; i < begins_[task + 1]; ++i) {
          const Row whole = row(i, static_cast<int64_t>(task));
          compute(whole, 0, segments_, i + 1 < begins_[task + 1]);
          write(whole, 0, segments_);
        }
        if (stream_) hwy::FlushStream();
      });
      return Code::ok;
    }
    // The segments of a task may begin and end within rows.
    const auto each_piece = [&](const auto& function) {
      executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
        const UnitRange part = task_range(shape_.rows() * segments_, tasks_, static_cast<int64_t>(task));
        for (int64_t unit = part.begin; unit < part.end;) {
          const int64_t i = unit / segments_, end = std::min(part.end, (i + 1) * segments_);
          function(row(i, i), unit - i * segments_, end - i * segments_);
          unit = end;
        }
        if (stream_) hwy::FlushStream();
      });
    };
    each_piece([&](const Row& piece, int64_t begin, int64_t end) { compute(piece, begin, end, false); });
    each_piece([&](const Row& piece, int64_t begin, int64_t end) { write(piece, begin, end); });
    return Code::ok;
  }

 private:
  // A row: its operands, its exponentials and the maxima and sums of its segments. The output of f32 rows holds the exponentials.
  struct Row {
    const std::byte* x;
    std::byte* y;
    float* terms;
    MaxAndSum* partials;
    int64_t visible;
  };

  // Whole rows as units would leave threads idle if rows are few.
  bool splits_rows() const { return shape_.rows() < tasks_; }

  size_t row_bytes() const {
    return static_cast<size_t>(partials_) * sizeof(MaxAndSum) + static_cast<size_t>(terms_) * sizeof(float);
  }

  size_t keys(const Row& row, int64_t segment) const {
    return static_cast<size_t>(std::clamp<int64_t>(row.visible - segment * segment_, 0, segment_));
  }

  // Prefetches two segments ahead, because the next segment is in flight already. After the end of the row that is in the next
  // row, if the task has another.
  void compute(const Row& row, int64_t begin, int64_t end, bool another) const {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t ahead = s + 2 < end ? 2 * segment_ : another ? shape_.in_stride - (end - 2 - s) * segment_ : 0;
      row.partials[s] =
          passes_.reduce(row.x + s * segment_ * in_size_, shape_.scale, row.terms + s * segment_, keys(row, s), ahead);
    }
  }

  // Every task joins all segments in the same order, so the bits do not depend on the number of tasks.
  void write(const Row& row, int64_t begin, int64_t end) const {
    MaxAndSum total;
    for (int64_t s = 0; s < segments_; ++s) total = join(total, row.partials[s], shape_.scale);
    if (row.visible <= 0) total.sum = 1;  // nothing is scaled, and nothing must divide by zero
    for (int64_t s = begin; s < end; ++s) {
      const float factor = rescaling(row.partials[s].max, total.max, shape_.scale) / total.sum;
      passes_.write(row.terms + s * segment_, factor, row.y + s * segment_ * out_size_, keys(row, s),
                    static_cast<size_t>(std::min(segment_, shape_.seq_k - s * segment_)));
    }
  }

  SoftmaxShape shape_;
  int64_t in_size_;
  int64_t out_size_;
  int64_t segment_;
  int64_t segments_;
  bool stream_;
  int64_t tasks_;
  std::vector<int64_t> begins_;  // the first row of each task if tasks share rows, then the end
  int64_t terms_;                // floats of workspace for the exponentials of a row
  int64_t partials_;             // entries of workspace for its segments
  SegmentPasses passes_;
};

// The longest segments of which each thread still has four, if rows are few. In f32 rows longer than a quarter of the second
// cache level, input and output of a segment must fit in half of the first level (Zen 4, 50,000 and 120,000 keys: 1024 keys are
// 10 to 20 % faster than 4096 from memory and 5 to 10 % slower in the last level).
const Tuning& preferred_segment(const Problem& problem, const DeviceInfo& device) {
  const auto& shape = problem.as<SoftmaxShape>();
  if (problem.dtype == DType::f32 && shape.seq_k * 8 > device.cpu().l2_bytes / 4) return kTunings[0];
  const int64_t rows = std::max<int64_t>(1, shape.rows());
  const Tuning* best = &kTunings[0];
  for (const Tuning& tuning : kTunings)
    if (rows >= problem.threads || tuning["segment"] <= shape.seq_k * rows / problem.threads / 4) best = &tuning;
  return *best;
}

}  // namespace

extern const Variant cpu_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem&, const Tuning&, const DeviceInfo&) -> std::optional<std::string> { return std::nullopt; },
    .prefer = preferred_segment,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto find = cpu::pick(HWY_DISPATCH_TABLE(find_passes), device.cpu().hwy_target);
      const bool stream = streams(problem, device);
      return std::make_unique<CpuBlock>(problem, tuning["segment"], stream, find(stream, problem.dtype, problem.out_dtype),
                                        device);
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "segments;" + to_string(tuning) + ";" + device.cpu().isa;
    },
};

}  // namespace metallic::softmax
#endif
