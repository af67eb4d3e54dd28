// SPDX-License-Identifier: Apache-2.0
// sdpa cpu_decode: few queries against a long key cache (split-KV). Tasks share segments of the keys, which all queries of a
// group of heads read once. Then the segments of each query are combined in their order.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/sdpa/cpu_decode.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "base/math.h"
#include "device/cpu/isa.h"
#include "ops/partition.h"
#include "ops/sdpa/contract.h"
#include "ops/sdpa/decode-inl.h"
#include "ops/sdpa/shape.h"
#include "ops/variant.h"

#if HWY_ONCE
namespace metallic::sdpa {
namespace {

HWY_EXPORT(attend);
HWY_EXPORT(combine);
using Attend = decltype(&HWY_STATIC_DISPATCH(attend));
using Combine = decltype(&HWY_STATIC_DISPATCH(combine));

// `segment` is the number of keys in a segment. Short segments balance threads better. Long ones have fewer first rows, which
// nothing prefetches.
constexpr Tuning kTunings[] = {{{{{"segment", 256}}}}, {{{{"segment", 1024}}}}};

// The most queries of a head. With more queries, tiles of queries (cpu_flash) reuse keys more often.
constexpr int64_t kMostQueries = 16;

class CpuDecode final : public Kernel {
 public:
  CpuDecode(const Problem& problem, int64_t segment, const DeviceInfo& device)
      : shape_(problem.as<SdpaShape>()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        attend_(cpu::pick(HWY_DISPATCH_TABLE(attend), device.cpu().hwy_target)),
        combine_(cpu::pick(HWY_DISPATCH_TABLE(combine), device.cpu().hwy_target)),
        segment_(segment),
        padded_dim_(round_up(shape_.head_dim, kPad)) {
    if (operand_bytes(problem)[kOut] == 0) return;
    groups_ = shape_.batch * shape_.kv_heads;
    rows_ = shape_.group() * shape_.seq_q;
    seen_ = visible_keys(shape_, shape_.seq_q - 1);
    segments_ = ceil_div(seen_, segment_);
    distance_ = std::clamp<int64_t>(kBytesAhead / (shape_.head_dim * static_cast<int64_t>(size_of(dtype_))), 1, segment_ / kKeys);
    stride_ = std::min(segment_, round_up(kKeys * seen_, 64));
    const double products = static_cast<double>(groups_ * rows_) * static_cast<double>(shape_.head_dim);
    // Reading a key takes as long as three multiplications with it.
    const double read = 3 * static_cast<double>(groups_) * static_cast<double>(shape_.head_dim);
    tasks_ = task_count(problem.threads, groups_ * segments_, 2 * (products + read) * static_cast<double>(seen_), kPerNs, device);
    combine_tasks_ = task_count(problem.threads, groups_ * rows_, products * static_cast<double>(segments_), kPerNs, device);
  }

  size_t workspace() const override { return static_cast<size_t>(tasks_ * task_floats() + partial_floats()) * sizeof(float); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    auto* const partials = reinterpret_cast<float*>(workspace);
    float* const scratch = partials + partial_floats();
    executor.parallel(static_cast<size_t>(tasks_), [&](size_t task) {
      const UnitRange mine = task_range(groups_ * segments_, tasks_, static_cast<int64_t>(task));
      float* const query = scratch + static_cast<int64_t>(task) * task_floats();
      for (int64_t at = mine.begin; at < mine.end; ++at) attend_(unit(args, at, std::min(at + 1, mine.end - 1), partials, query));
    });
    executor.parallel(static_cast<size_t>(combine_tasks_), [&](size_t task) {
      const UnitRange mine = task_range(groups_ * rows_, combine_tasks_, static_cast<int64_t>(task));
      for (int64_t row = mine.begin; row < mine.end; ++row) combine_row(args, row / rows_, row % rows_, partials);
    });
    return Code::ok;
  }

 private:
  // Maxima and totals [groups, rows, segments], sums [groups, segments, rows, padded_dim].
  int64_t limits() const { return round_up(groups_ * rows_ * segments_, kPad); }
  int64_t sums() const { return groups_ * segments_ * rows_ * padded_dim_; }
  int64_t partial_floats() const { return 2 * limits() + sums(); }
  int64_t task_floats() const { return rows_ * (padded_dim_ + stride_); }

  const std::byte* at(const void* operand, int64_t element) const {
    return static_cast<const std::byte*>(operand) + element * static_cast<int64_t>(size_of(dtype_));
  }

  const void* keys_of(const Args& args, int64_t index) const {
    const int64_t group = index / segments_;
    return at(args.in[1], row_at(shape_.k, group / shape_.kv_heads, group % shape_.kv_heads, index % segments_ * segment_));
  }

  DecodeUnit unit(const Args& args, int64_t index, int64_t next, float* partials, float* query) const {
    const int64_t group = index / segments_, batch = group / shape_.kv_heads, head = group % shape_.kv_heads;
    const int64_t segment = index % segments_, first = segment * segment_;
    float* const max = partials + group * rows_ * segments_ + segment;
    return {.shape = &shape_,
            .dtype = dtype_,
            .segment = {.keys = std::min(segment_, seen_ - first),
                        .stream = segment_ / kKeys,
                        .head_dim = shape_.head_dim,
                        .k = keys_of(args, index),
                        .v = at(args.in[2], row_at(shape_.v, batch, head, first)),
                        .k_row = shape_.k.row,
                        .v_row = shape_.v.row,
                        .k_next = keys_of(args, next),
                        .padded_dim = padded_dim_,
                        .distance = distance_},
            .first_key = first,
            .segments = segments_,
            .q = at(args.in[0], row_at(shape_.q, batch, head * shape_.group(), 0)),
            .query = query,
            .scores = query + rows_ * padded_dim_,
            .stride = stride_,
            .max = max,
            .total = max + limits(),
            .sums = partials + 2 * limits() + index * rows_ * padded_dim_};
  }

  void combine_row(const Args& args, int64_t group, int64_t row, float* partials) const {
    const int64_t head = group % shape_.kv_heads * shape_.group() + row / shape_.seq_q, query = row % shape_.seq_q;
    const int64_t visible = visible_keys(shape_, query), segments = ceil_div(visible, segment_);
    void* const out = static_cast<std::byte*>(args.out) +
                      row_at(shape_.out, group / shape_.kv_heads, head, query) * static_cast<int64_t>(size_of(out_dtype_));
    if (visible == 0) {
      std::fill_n(static_cast<std::byte*>(out), static_cast<size_t>(shape_.head_dim) * size_of(out_dtype_), std::byte{});
      return;
    }
    float* const max = partials + (group * rows_ + row) * segments_;
    float* const sums = partials + 2 * limits() + (group * segments_ * rows_ + row) * padded_dim_;
    combine_(max, max + limits(), sums, segments, rows_ * padded_dim_, shape_.scale, shape_.head_dim, out_dtype_, out);
  }

  SdpaShape shape_;
  DType dtype_, out_dtype_;
  Attend attend_;
  Combine combine_;
  int64_t segment_;
  int64_t padded_dim_;
  int64_t groups_ = 0, rows_ = 0, seen_ = 0, segments_ = 0, stride_ = 0, distance_ = 0;
  int64_t tasks_ = 1, combine_tasks_ = 1;
};

}  // namespace

extern const Variant cpu_decode = {
    .family = "decode",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning&, const DeviceInfo&) -> std::optional<std::string> {
      const int64_t queries = problem.as<SdpaShape>().seq_q;
      if (queries > kMostQueries) return fmt::format("seq_q = {} is above {}", queries, kMostQueries);
      return std::nullopt;
    },
    // Long segments, if each thread has at least four of them.
    .prefer = [](const Problem& problem, const DeviceInfo&) -> const Tuning& {
      const auto& s = problem.as<SdpaShape>();
      return kTunings[s.batch * s.kv_heads * (s.seq_k / 1024) >= 4 * problem.threads ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) -> Result<std::unique_ptr<const Kernel>> {
      const auto& s = problem.as<SdpaShape>();
      const double rows = static_cast<double>(s.batch) * static_cast<double>(s.heads) * static_cast<double>(s.seq_q);
      const double segments = static_cast<double>(s.seq_k / tuning["segment"] + 1 + problem.threads);
      if (rows * segments * static_cast<double>(s.head_dim + 2 * tuning["segment"]) > 0x1p56)
        return fail(Code::out_of_memory,
                    "the partial results of {} segments for each of {} queries are more than a machine holds",
                    s.seq_k / tuning["segment"] + 1, rows);
      return std::make_unique<CpuDecode>(problem, tuning["segment"], device);
    },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "decode;" + to_string(tuning) + ";" + device.cpu().isa;
    },
};

}  // namespace metallic::sdpa
#endif
