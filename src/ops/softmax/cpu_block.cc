// softmax cpu_block: a row in segments that fit in cache, each with exponentials relative to its own maximum, so that the input
// is read once; joined by rescaling when written. Rows are shared among threads, or the segments of a row where rows are few.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/softmax/cpu_block.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "device/cpu/isa.h"
#include "ops/variant.h"
#include "ops/element.h"
#include "ops/partition.h"
#include "ops/softmax/contract.h"
#include "ops/softmax/rows-inl.h"

#ifndef METALLIC_KERNELS_SOFTMAX_CPU_BLOCK_ONCE
#define METALLIC_KERNELS_SOFTMAX_CPU_BLOCK_ONCE
namespace metallic::softmax {
namespace {

// A maximum and the sum of exponentials relative to it; to an infinite negative maximum the sum is relative to 0.
struct Partial {
  float max = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

// What turns a sum relative to one maximum into one relative to a larger. Equal maxima are not subtracted: two of −∞ would give
// NaN.
inline float rescaling(float from, float to, float scale) { return from == to ? 1.0f : std::exp((from - to) * scale); }

// The same over both pieces.
inline Partial join(Partial a, Partial b, float scale) {
  const float max = std::fmax(a.max, b.max);
  return {max, a.sum * rescaling(a.max, max, scale) + b.sum * rescaling(b.max, max, scale)};
}

// What a segment's passes are called as, whatever the storage. `terms` are its exponentials.
struct Passes {
  // What is read next is prefetched, if `ahead` says where.
  Partial (*partial)(const void* x, float scale, float* terms, size_t count, int64_t ahead);
  // Of `length` keys the first `count` are visible.
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
Partial segment_partial(const void* from, float scale, float* terms, size_t count, int64_t ahead) {
  const auto* x = static_cast<const In*>(from);
  const float max = row_max<4>(x, count), reference = max == kMinusInfinity ? 0.0f : max;
  return {max, row_exp_sum<1>(x, reference, scale, terms, count, ahead)};
}

template <bool kStream, typename Out>
void segment_write(const float* terms, float factor, void* to, size_t count, size_t length) {
  auto* y = static_cast<Out*>(to);
  Scaling<kStream, Out> scaling(terms, factor, y, count);
  finish<1>(scaling, 0);
  write_zeros<kStream>(y + count, length - count);
}

Passes find_passes(bool stream, DType dtype, DType out_dtype) {
  return with_types(dtype, out_dtype, [=]<typename In, typename Out>(In, Out) -> Passes {
    return {&segment_partial<In>, stream ? &segment_write<true, Out> : &segment_write<false, Out>};
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
constexpr Tuning kTunings[] = {{{{{"segment", 1024}}}}, {{{{"segment", 4096}}}}};

class CpuBlock final : public Kernel {
 public:
  CpuBlock(const Problem& problem, int64_t segment, bool stream, Passes passes, const DeviceInfo& device)
      : shape_(problem.softmax()),
        in_size_(static_cast<int64_t>(size_of(problem.dtype))),
        out_size_(static_cast<int64_t>(size_of(problem.out_dtype))),
        segment_(segment),
        segments_((shape_.seq_k + segment_ - 1) / segment_),
        stream_(stream),
        tasks_(task_count(problem.threads, shape_.rows() * segments_, work_before(shape_, shape_.rows()), kPerNs, device)),
        begins_(shares_by_work(shape_.rows(), tasks_, [this](int64_t row) { return work_before(shape_, row); })),
        // In whole cache lines, so that no two tasks write to one.
        terms_(problem.out_dtype == DType::f32 && !stream_ ? 0 : (shape_.seq_k + 15) / 16 * 16),
        partials_((segments_ + 7) / 8 * 8),
        passes_(passes) {}

  size_t workspace() const override {
    const int64_t rows = splits_rows() ? shape_.rows() : tasks_;
    return static_cast<size_t>(rows) * row_bytes();
  }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    const auto row = [&](int64_t index, int64_t place) {
      std::byte* memory = workspace + static_cast<size_t>(place) * row_bytes();
      std::byte* y = static_cast<std::byte*>(args.out) + index * shape_.out_stride * out_size_;
      auto* partials = reinterpret_cast<Partial*>(memory);
      return Row{.x = static_cast<const std::byte*>(args.in[0]) + index * shape_.in_stride * in_size_,
                 .y = y,
                 .terms = reinterpret_cast<float*>(terms_ > 0 ? memory + static_cast<size_t>(partials_) * sizeof(Partial) : y),
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
    // Each task has a run of segments that may begin and end within rows.
    const auto each_piece = [&](const auto& function) {
      executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
        const Share part = share(shape_.rows() * segments_, tasks_, static_cast<int64_t>(task));
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
  // A row in work: its operands, its exponentials, which in f32 are where the result will be, and what is known of its segments.
  struct Row {
    const std::byte* x;
    std::byte* y;
    float* terms;
    Partial* partials;
    int64_t visible;
  };

  // Whole rows as the unit leave threads idle where rows are few.
  bool splits_rows() const { return shape_.rows() < tasks_; }

  size_t row_bytes() const {
    return static_cast<size_t>(partials_) * sizeof(Partial) + static_cast<size_t>(terms_) * sizeof(float);
  }

  size_t keys(const Row& row, int64_t segment) const {
    return static_cast<size_t>(std::clamp<int64_t>(row.visible - segment * segment_, 0, segment_));
  }

  // What is read on meanwhile lies two segments ahead, in the next row where there is one and this one ends before: the next
  // segment is on its way already.
  void compute(const Row& row, int64_t begin, int64_t end, bool another) const {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t ahead = s + 2 < end ? 2 * segment_ : another ? shape_.in_stride - (end - 2 - s) * segment_ : 0;
      row.partials[s] =
          passes_.partial(row.x + s * segment_ * in_size_, shape_.scale, row.terms + s * segment_, keys(row, s), ahead);
    }
  }

  // The segments are joined in the same order whoever writes which of them, so the bits do not depend on the tasks.
  void write(const Row& row, int64_t begin, int64_t end) const {
    Partial total;
    for (int64_t s = 0; s < segments_; ++s) total = join(total, row.partials[s], shape_.scale);
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
  std::vector<int64_t> begins_;  // of the tasks' rows where tasks share rows, and the end of the last
  int64_t terms_;                // floats of workspace for a row's exponentials
  int64_t partials_;             // for its segments, in whole cache lines
  Passes passes_;
};

// Dynamic tiling: as few segments as share a row evenly where rows are few, at least four for each thread. In rows longer than a
// quarter of the second level, segments of floats are to stay in half of the first level, in and out (Zen 4, 50,000 and 120,000
// keys: 1024 at a time are 10 to 20 % faster than 4096 from memory and 5 to 10 % slower in the last level).
const Tuning& preferred_segment(const Problem& problem, const DeviceInfo& device) {
  const auto& shape = problem.softmax();
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
