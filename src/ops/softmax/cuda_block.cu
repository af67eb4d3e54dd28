// softmax cuda_block: a row in the shared memory of a block, the next rows on their way there, or, in two launches, shared by
// segments all over the device where rows are few; what does not fit is read twice.
#include <fmt/format.h>

#include <algorithm>

#include "ops/variant.h"
#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/softmax/rows.cuh"

namespace metallic::softmax {
namespace {
using namespace cuda;

constexpr int kWarp = 32;
constexpr int64_t kBeside = 1024;  // bytes of a block's shared memory that hold no chunks

// A grid as large as runs at once goes through the rows: each block has kStages rows in shared memory or on their way there. A
// row is added up before the one before it is stored, so that reading need not be waited for. With a block for each row, which
// read, added and stored in turn, this kernel moved at 0.55 of a copy.
constexpr int kStages = 3;
constexpr int kTogether = 2;  // chunks that a thread looks at together

template <typename In, typename Out, Places kPlaces>
__global__ void __launch_bounds__(512, 2)
    block_rows(const Rows s, const In* in, Out* out, const int chunks, const int kept_chunks) {
  constexpr int kOf = kChunk<In>;
  extern __shared__ uint4 memory[];
  // Two, in turn: who writes the one knows that all have read it before they arrived at the other's barrier.
  __shared__ MaxSum of_warp[2][kWarp];
  after_earlier();
  const unsigned of_turn = gridDim.x;
  const int step = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const auto stage_of = [&](int turn) { return memory + turn % kStages * kept_chunks; };
  // A thread reads its own chunks alone, so nobody need wait for others.
  const auto start = [&](unsigned row, int turn) {
    if (row < s.rows) {
      const Part<In, kPlaces> part(s, in, row, 0, chunks);
      uint4* const to = stage_of(turn);
      for (int chunk = thread; chunk < min(part.chunks, kept_chunks); chunk += step)
        if (part.is_wide(chunk * kOf)) start_copy<16>(to + chunk, part.at + chunk * kOf);
    }
    end_copies();
  };
  // A part's chunks, kTogether at once: those that are kept, as far as all of a turn's are, and the others.
  const auto for_chunks = [&](const Part<In, kPlaces>& part, int turn, const auto& function) {
    const uint4* const kept = stage_of(turn);
    Chunk<In> raw[kTogether];
    int chunk = thread;
    const int end = part.chunks <= kept_chunks ? part.chunks : kept_chunks / (kTogether * step) * (kTogether * step);
    for (; chunk < end; chunk += kTogether * step) {
#pragma unroll
      for (int c = 0; c < kTogether; ++c) raw[c].bits = kept[chunk + c * step < end ? chunk + c * step : chunk];
#pragma unroll
      for (int c = 0; c < kTogether; ++c) part.complete(raw[c], (chunk + c * step) * kOf);
      function(raw, chunk);
    }
    for (; chunk < part.chunks; chunk += kTogether * step) {
      part.load(raw, chunk, step);
      function(raw, chunk);
    }
  };
  const auto sums = [&](unsigned row, int turn) {
    const Part<In, kPlaces> part(s, in, row, 0, chunks);
    wait_for_copies<kStages - 2>();
    MaxSum mine{-INFINITY, 0};
    for_chunks(part, turn, [&](const Chunk<In>(&raw)[kTogether], int) { add(mine, raw, s.exponential); });
    return combined_over_warps(combined(mine, s.exponential), s.exponential, of_warp[turn % 2]);
  };

  unsigned row = blockIdx.x;
  for (int turn = 0; turn < kStages; ++turn) start(row + turn * of_turn, turn);
  MaxSum all = sums(row, 0);
  for (int turn = 0; row < s.rows; row += of_turn, ++turn) {
    const unsigned next = row + of_turn;
    MaxSum of_next{-INFINITY, 0};
    if (next < s.rows) of_next = sums(next, turn + 1);
    const Normalization<Out> normalization(all);
    const Part<In, kPlaces> part(s, in, row, 0, chunks);
    Out* const y = out + row * s.out_stride;
    for_chunks(part, turn, [&](const Chunk<In>(&raw)[kTogether], int chunk) {
#pragma unroll
      for (int c = 0; c < kTogether; ++c) normalization.store(part, raw[c], y, (chunk + c * step) * kOf, s.exponential);
    });
    start(row + kStages * of_turn, turn + kStages);
    all = of_next;
  }
}

// A row split over blocks of a grid that know nothing of each other: one kernel adds, the next stores.
constexpr int kAhead = 4;  // chunks of a thread that are on their way together

template <typename In>
__global__ void __launch_bounds__(512)
    segment_sums(const Rows s, const In* in, MaxSum* sums, const int each, const unsigned segments) {
  after_earlier();
  const Part<In, Places::any> part(s, in, blockIdx.x / segments, blockIdx.x % segments, each);
  const int step = static_cast<int>(blockDim.x);
  MaxSum mine{-INFINITY, 0};
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += kAhead * step) {
    Chunk<In> raw[kAhead];
    part.load(raw, chunk, step);
    add(mine, raw, s.exponential);
  }
  __shared__ MaxSum of_warp[kWarp];
  const MaxSum all = combined_over_warps(combined(mine, s.exponential), s.exponential, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

template <typename In, typename Out>
__global__ void __launch_bounds__(512)
    segment_results(const Rows s, const In* in, Out* out, const MaxSum* sums, const int each, const unsigned segments) {
  const unsigned row = blockIdx.x / segments;
  const Part<In, Places::any> part(s, in, row, blockIdx.x % segments, each);
  const int step = static_cast<int>(blockDim.x);
  // The sums' kernel let this one begin when what was before both had ended: of the two only the sums must be waited for.
  Chunk<In> raw[kAhead];
  part.load(raw, static_cast<int>(threadIdx.x), step);
  after_earlier();
  MaxSum all{-INFINITY, 0};
  for (unsigned first = 0; first < segments; first += kWarp) {
    const unsigned at = first + threadIdx.x % kWarp;
    const MaxSum some = combined(at < segments ? sums[row * segments + at] : MaxSum{-INFINITY, 0}, s.exponential);
    const float max = fmaxf(all.max, some.max);
    all = {max, all.sum * rescale(all.max, max, s.exponential) + some.sum * rescale(some.max, max, s.exponential)};
  }
  const Normalization<Out> normalization(all);
  Out* const y = out + row * s.out_stride;
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += kAhead * step) {
    if (chunk >= kAhead * step) part.load(raw, chunk, step);
#pragma unroll
    for (int c = 0; c < kAhead; ++c) normalization.store(part, raw[c], y, (chunk + c * step) * kChunk<In>, s.exponential);
  }
}

constexpr Tuning kTunings[] = {{{{{"fixed", 1}, {"threads", 256}}}},
                               {{{{"segments", 8}, {"threads", 256}}}},
                               {{{{"segments", 32}, {"threads", 256}}}},
                               {{{{"segments", 128}, {"threads", 256}}}},
                               {{{{"threads", 512}}}}};

class Block final : public Kernel {
  // Calls function(kernel, In{}, Out{}) with the kernel for rows that lie so. Before what uses it: its type is deduced.
  template <typename Function>
  auto with_kernel(Places places, const Function& function) const {
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In in, Out out) {
      switch (places) {
        case Places::fixed: return function(block_rows<In, Out, Places::fixed>, in, out);
        case Places::aligned: return function(block_rows<In, Out, Places::aligned>, in, out);
        default: return function(block_rows<In, Out, Places::any>, in, out);
      }
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Block>(new Block(problem, tuning, device));
    const Grid& grid = kernel->grid_;
    // As much as any problem wants: the limit is the kernel's, which other plans run too.
    const auto most = static_cast<size_t>(device.cuda().smem_per_block - kBeside);
    for (const Places places : {Places::aligned, Places::any, Places::fixed})
      METALLIC_CHECK(kernel->with_kernel(places, [&](auto function, auto, auto) -> Status {
        METALLIC_CHECK(allow(function, most));
        METALLIC_TRY(kernel->at_once_[static_cast<int>(places)], at_once(function, grid, device));
        return {};
      }));
    return kernel;
  }

  size_t workspace() const override { return static_cast<size_t>(rows_.rows) * segments_ * sizeof(MaxSum); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    if (segments_ > 0) return run_segments(args, reinterpret_cast<MaxSum*>(workspace), executor);
    const Places places = are_aligned(problem_, args) ? Places::aligned : fixed_ ? Places::fixed : Places::any;
    return with_kernel(places, [&]<typename In, typename Out>(auto function, In, Out) {
      Grid grid = grid_;
      grid.blocks.x = std::min(grid.blocks.x, at_once_[static_cast<int>(places)]);
      return launch(function, grid, executor, rows_, static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out),
                    places == Places::aligned ? each_ : each_anywhere_, kept_);
    });
  }

 private:
  Block(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : problem_(problem), fixed_(tuning["fixed"] == 1), rows_(problem.softmax()) {
    segments_ = static_cast<unsigned>(tuning["segments"]);
    grid_.threads = static_cast<unsigned>(tuning["threads"]);
    grid_.blocks = dim3(static_cast<unsigned>(rows_.rows));
    grid_.early = can_begin_early(device);
    const int64_t parts = std::max<int64_t>(segments_, 1);
    each_ = static_cast<int>((least_chunks(problem) + parts - 1) / parts);
    each_anywhere_ = static_cast<int>((most_chunks(problem) + parts - 1) / parts);
    kept_ = std::min(each_anywhere_, static_cast<int>((device.cuda().smem_per_block - kBeside) / 16 / kStages));
    grid_.shared = static_cast<size_t>(kStages * kept_) * 16;
  }

  Code run_segments(const Args& args, MaxSum* sums, Executor& executor) const {
    const int each = are_aligned(problem_, args) ? each_ : each_anywhere_;
    const Grid grid{
        .blocks = dim3(static_cast<unsigned>(rows_.rows) * segments_), .threads = grid_.threads, .early = grid_.early};
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In, Out) {
      const auto* in = static_cast<const In*>(args.in[0]);
      if (const Code code = launch(segment_sums<In>, grid, executor, rows_, in, sums, each, segments_); code != Code::ok)
        return code;
      return launch(segment_results<In, Out>, grid, executor, rows_, in, static_cast<Out*>(args.out), sums, each, segments_);
    });
  }

  Problem problem_;
  bool fixed_;
  unsigned segments_;
  Rows rows_;
  int each_, each_anywhere_;  // chunks of a part of rows that are aligned, and of others
  int kept_;                  // chunks of a stage
  Grid grid_;
  unsigned at_once_[3] = {};  // rows, of each Places
};

}  // namespace

extern const Variant cuda_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      const SoftmaxShape& s = problem.softmax();
      if (s.rows() > kMostRows) return "more blocks than a grid has";
      if (s.rows() * tuning["segments"] > 8 * device.cuda().num_sms) return "segments are for few rows";
      if (s.seq_k > kMostElements * std::max<int64_t>(tuning["segments"], 1)) return "parts of rows are too long";
      return std::nullopt;
    },
    // As many segments as there are multiprocessors for them, where rows are few.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const Tuning* best = &kTunings[std::size(kTunings) - 1];
      for (const Tuning& tuning : kTunings)
        if (tuning["segments"] > 0 && problem.softmax().rows() * tuning["segments"] <= device.cuda().num_sms &&
            16 * most_chunks(problem) / tuning["segments"] >= 4 << 10)
          best = &tuning;
      return *best;
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Block::make(problem, tuning, device); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&) -> std::optional<std::string> {
      // Which thread has an element depends on where a row begins, unless all begin at multiples of 16 bytes, as tensors do.
      if (!begins_evenly(problem) && tuning["fixed"] == 0) return std::nullopt;
      return fmt::format("row;segments={};threads={}", tuning["segments"], tuning["threads"]);
    },
};

}  // namespace metallic::softmax
