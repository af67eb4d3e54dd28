// softmax cpu_block: a row in segments that fit in cache, each with its own maximum, joined by online rescaling; rows
// are shared among threads, or the segments of a row where rows are few. Reads the input twice, writes the output once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_block.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/partition.h"
#include "kernels/softmax/contract.h"
#include "kernels/softmax/rows-inl.h"

#ifndef METALLIC_KERNELS_SOFTMAX_CPU_BLOCK_ONCE
#define METALLIC_KERNELS_SOFTMAX_CPU_BLOCK_ONCE
namespace metallic::softmax {
namespace {

// A maximum and the sum of exponentials relative to it; to an infinite negative maximum the sum is relative to 0.
struct Partial {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

// The same over both pieces. Equal maxima are not subtracted: two of −∞ would give NaN.
inline Partial join(Partial a, Partial b) {
  const float max = std::fmax(a.max, b.max);
  const auto scale = [max](float m) { return m == max ? 1.0f : std::exp(m - max); };
  return {max, a.sum * scale(a.max) + b.sum * scale(b.max)};
}

}  // namespace
}  // namespace metallic::softmax
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

Partial segment_partial(const float* x, size_t count) {
  const float max = row_max<4>(x, count);
  const float reference = max == kMinusInfinity ? 0.0f : max;
  return {max, row_exp_sum<4, /*kStore=*/false>(x, reference, nullptr, count)};
}

void segment_write(const float* x, Partial total, float* y, size_t count) {
  row_exp_scale(x, total.max, 1 / total.sum, y, count);
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(segment_partial);
HWY_EXPORT(segment_write);

// Keys in a segment. It is read twice in a row, so it should stay in the first or second cache level.
constexpr Tuning kTunings[] = {{{{{"segment", 1024}}}}, {{{{"segment", 4096}}}}, {{{{"segment", 16384}}}}};

class CpuBlock final : public Kernel {
 public:
  CpuBlock(const Problem& problem, int64_t segment, int64_t isa_bit)
      : shape_(problem.softmax()),
        segment_(segment),
        segments_((shape_.seq_k + segment - 1) / segment),
        tasks_(task_count(problem.threads, shape_.rows() * segments_,
                          static_cast<double>(shape_.rows()) * static_cast<double>(shape_.seq_k), kGrain)),
        partial_(cpu::pick(HWY_DISPATCH_TABLE(segment_partial), isa_bit)),
        write_(cpu::pick(HWY_DISPATCH_TABLE(segment_write), isa_bit)) {}

  size_t workspace() const override {
    return splits_rows() ? static_cast<size_t>(shape_.rows() * segments_) * sizeof(Partial) : 0;
  }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    const auto* in = static_cast<const float*>(args.in[0]);
    auto* out = static_cast<float*>(args.out);
    if (splits_rows())
      run_segments(in, out, reinterpret_cast<Partial*>(workspace), executor);
    else
      run_rows(in, out, executor);
    return Code::ok;
  }

 private:
  // Whole rows as the unit leave threads idle where rows are few.
  bool splits_rows() const { return shape_.rows() < tasks_; }

  int64_t keys(int64_t row, int64_t segment) const {
    return std::clamp<int64_t>(visible_keys(shape_, row) - segment * segment_, 0, segment_);
  }

  void write(const float* in, float* out, int64_t row, int64_t segment, Partial total) const {
    const int64_t begin = segment * segment_, length = std::min(segment_, shape_.seq_k - begin), count = keys(row, segment);
    float* y = out + row * shape_.out_stride + begin;
    write_(in + row * shape_.in_stride + begin, total, y, static_cast<size_t>(count));
    std::fill(y + count, y + length, 0.0f);
  }

  void run_rows(const float* in, float* out, Executor& executor) const {
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const Share part = share(shape_.rows(), tasks_, static_cast<int64_t>(task));
      for (int64_t row = part.begin; row < part.end; ++row) {
        Partial total;
        for (int64_t s = 0; s < segments_; ++s)
          total = join(total, partial_(in + row * shape_.in_stride + s * segment_, static_cast<size_t>(keys(row, s))));
        for (int64_t s = 0; s < segments_; ++s) write(in, out, row, s, total);
      }
    });
  }

  // The joins run in the same order as in run_rows, so both give the same bits.
  void run_segments(const float* in, float* out, Partial* partials, Executor& executor) const {
    const int64_t units = shape_.rows() * segments_;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const Share part = share(units, tasks_, static_cast<int64_t>(task));
      for (int64_t unit = part.begin; unit < part.end; ++unit) {
        const int64_t row = unit / segments_, s = unit % segments_;
        partials[unit] = partial_(in + row * shape_.in_stride + s * segment_, static_cast<size_t>(keys(row, s)));
      }
    });
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const Share part = share(units, tasks_, static_cast<int64_t>(task));
      int64_t joined_row = -1;
      Partial total;
      for (int64_t unit = part.begin; unit < part.end; ++unit) {
        const int64_t row = unit / segments_;
        if (row != joined_row) {
          total = {};
          for (int64_t s = 0; s < segments_; ++s) total = join(total, partials[row * segments_ + s]);
          joined_row = row;
        }
        write(in, out, row, unit % segments_, total);
      }
    });
  }

  SoftmaxShape shape_;
  int64_t segment_;
  int64_t segments_;
  int64_t tasks_;
  decltype(&HWY_STATIC_DISPATCH(segment_partial)) partial_;
  decltype(&HWY_STATIC_DISPATCH(segment_write)) write_;
};

// Dynamic tiling: the longest segment that stays in the first cache level beside what else is there, but short enough
// that few rows still give every thread a segment.
Tuning preferred_segment(const Problem& problem, const DeviceFacts& facts) {
  const auto& shape = problem.softmax();
  const int64_t in_cache = facts.l1d_bytes / 2 / static_cast<int64_t>(sizeof(float));
  const int64_t rows = std::max<int64_t>(1, shape.rows());
  const int64_t per_thread = rows >= problem.threads ? shape.seq_k : shape.seq_k * rows / problem.threads;
  Tuning best = kTunings[0];
  for (const Tuning& tuning : kTunings)
    if (tuning["segment"] <= std::min(in_cache, per_thread)) best = tuning;
  return best;
}

}  // namespace

extern const Variant cpu_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceFacts&) -> std::optional<std::string> {
      if (problem.dtype != DType::f32 || problem.out_dtype != DType::f32 || problem.softmax().scale != 1) return "takes f32 only";
      return std::nullopt;
    },
    .prefer = preferred_segment,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      return std::make_unique<CpuBlock>(problem, tuning["segment"], facts.isa_bit);
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      return "segments;" + to_string(tuning) + ";" + facts.isa;
    },
};

}  // namespace metallic::softmax
#endif
