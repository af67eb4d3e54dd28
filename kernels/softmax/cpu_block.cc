// softmax cpu_block: a row in segments that fit in cache, each with its own maximum, joined by online rescaling; rows
// are shared among threads, or the segments of a row where rows are few. Reads the input twice, writes the output once.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax/cpu_block.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/isa.h"
#include "core/variant.h"
#include "kernels/element.h"
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
inline Partial join(Partial a, Partial b, float scale) {
  const float max = std::fmax(a.max, b.max);
  const auto factor = [=](float m) { return m == max ? 1.0f : std::exp((m - max) * scale); };
  return {max, a.sum * factor(a.max) + b.sum * factor(b.max)};
}

// What a segment's passes are called as, whatever the storage.
struct Passes {
  Partial (*partial)(const void* x, float scale, size_t count);
  void (*write)(const void* x, float scale, Partial total, void* y, size_t count);
};

}  // namespace
}  // namespace metallic::softmax
#endif

HWY_BEFORE_NAMESPACE();
namespace metallic::softmax::HWY_NAMESPACE {
namespace {
using namespace ::metallic::HWY_NAMESPACE;

template <typename In>
Partial segment_partial(const void* from, float scale, size_t count) {
  const auto* x = static_cast<const In*>(from);
  const float max = row_max<4>(x, count);
  const float reference = max == kMinusInfinity ? 0.0f : max;
  return {max, row_exp_sum<4, /*kStore=*/false>(x, reference, scale, nullptr, count)};
}

template <typename In, typename Out>
void segment_write(const void* x, float scale, Partial total, void* y, size_t count) {
  row_exp_scale(static_cast<const In*>(x), total.max, scale, 1 / total.sum, static_cast<Out*>(y), count);
}

Passes find_passes(DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, []<typename In, typename Out>(In, Out) -> Passes {
    return {&segment_partial<In>, &segment_write<In, Out>};
  });
}

}  // namespace
}  // namespace metallic::softmax::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic::softmax {
namespace {

HWY_EXPORT(find_passes);

// Keys in a segment. It is read twice in a row, so it should stay in the first or second cache level.
constexpr Tuning kTunings[] = {{{{{"segment", 1024}}}}, {{{{"segment", 4096}}}}, {{{{"segment", 16384}}}}};

class CpuBlock final : public Kernel {
 public:
  CpuBlock(const Problem& problem, int64_t segment, int64_t isa_bit)
      : shape_(problem.softmax()),
        in_size_(static_cast<int64_t>(size_of(problem.dtype))),
        out_size_(static_cast<int64_t>(size_of(problem.out_dtype))),
        segment_(segment),
        segments_((shape_.seq_k + segment - 1) / segment),
        tasks_(task_count(problem.threads, shape_.rows() * segments_,
                          static_cast<double>(shape_.rows()) * static_cast<double>(shape_.seq_k), kGrain)),
        passes_(cpu::pick(HWY_DISPATCH_TABLE(find_passes), isa_bit)(problem.dtype, problem.out_dtype)) {}

  size_t workspace() const override {
    return splits_rows() ? static_cast<size_t>(shape_.rows() * segments_) * sizeof(Partial) : 0;
  }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    const auto* in = static_cast<const std::byte*>(args.in[0]);
    auto* out = static_cast<std::byte*>(args.out);
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

  Partial partial(const std::byte* in, int64_t row, int64_t segment) const {
    const std::byte* x = in + (row * shape_.in_stride + segment * segment_) * in_size_;
    return passes_.partial(x, shape_.scale, static_cast<size_t>(keys(row, segment)));
  }

  void write(const std::byte* in, std::byte* out, int64_t row, int64_t segment, Partial total) const {
    const int64_t begin = segment * segment_, length = std::min(segment_, shape_.seq_k - begin), count = keys(row, segment);
    std::byte* y = out + (row * shape_.out_stride + begin) * out_size_;
    if (count > 0)
      passes_.write(in + (row * shape_.in_stride + begin) * in_size_, shape_.scale, total, y, static_cast<size_t>(count));
    std::memset(y + count * out_size_, 0, static_cast<size_t>((length - count) * out_size_));
  }

  void run_rows(const std::byte* in, std::byte* out, Executor& executor) const {
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const Share part = share(shape_.rows(), tasks_, static_cast<int64_t>(task));
      for (int64_t row = part.begin; row < part.end; ++row) {
        Partial total;
        for (int64_t s = 0; s < segments_; ++s) total = join(total, partial(in, row, s), shape_.scale);
        for (int64_t s = 0; s < segments_; ++s) write(in, out, row, s, total);
      }
    });
  }

  // The joins run in the same order as in run_rows, so both give the same bits.
  void run_segments(const std::byte* in, std::byte* out, Partial* partials, Executor& executor) const {
    const int64_t units = shape_.rows() * segments_;
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const Share part = share(units, tasks_, static_cast<int64_t>(task));
      for (int64_t unit = part.begin; unit < part.end; ++unit) {
        partials[unit] = partial(in, unit / segments_, unit % segments_);
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
          for (int64_t s = 0; s < segments_; ++s) total = join(total, partials[row * segments_ + s], shape_.scale);
          joined_row = row;
        }
        write(in, out, row, unit % segments_, total);
      }
    });
  }

  SoftmaxShape shape_;
  int64_t in_size_;
  int64_t out_size_;
  int64_t segment_;
  int64_t segments_;
  int64_t tasks_;
  Passes passes_;
};

// Dynamic tiling: the longest segment that stays in the first cache level beside what else is there, but short enough
// that few rows still give every thread a segment.
Tuning preferred_segment(const Problem& problem, const DeviceFacts& facts) {
  const auto& shape = problem.softmax();
  const int64_t in_cache = facts.l1d_bytes / 2 / static_cast<int64_t>(size_of(problem.dtype));
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
    .rejects = [](const Problem&, const Tuning&, const DeviceFacts&) -> std::optional<std::string> { return std::nullopt; },
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
