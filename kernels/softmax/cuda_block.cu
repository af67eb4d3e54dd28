// softmax cuda_block: a row in the shared memory of a block or of a cluster of blocks, the next rows on their way there, or, in
// two launches, shared by segments all over the device where rows are few; what does not fit is read twice.
#include <fmt/format.h>

#include <algorithm>

#include "core/variant.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/softmax/rows.cuh"

namespace metallic::softmax {
namespace {
using namespace cuda;

constexpr int kWarp = 32;
constexpr int64_t kBeside = 1024;  // bytes of a block's shared memory that hold no chunks

// A grid as large as runs at once goes through the rows: each block, or cluster of `blocks`, has kStages rows in shared memory or
// on their way there. A row is added up before the one before it is stored, so that neither reading nor a cluster's exchange of
// sums need be waited for. With a block for each row, which read, added and stored in turn, this kernel moved at 0.55 of a copy.
constexpr int kStages = 3;
constexpr int kTogether = 2;  // chunks that a thread looks at together

template <typename In, typename Out, bool kClustered, Places kPlaces>
__global__ void __launch_bounds__(512, 2)
    block_rows(const Rows s, const In* in, Out* out, const int each, const int kept_chunks, const unsigned blocks) {
  constexpr int kOf = kChunk<In>;
  extern __shared__ uint4 memory[];
  // Two, in turn: who writes the one knows that all have read it before they arrived at the other's barrier.
  __shared__ MaxSum of_warp[2][kWarp];
  __shared__ ClusterRounds<MaxSum> cluster;
  if constexpr (kClustered) cluster.begin();
  after_earlier();
  const unsigned of_turn = gridDim.x / blocks, rank = blockIdx.x % blocks;
  const int step = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  const auto stage_of = [&](int turn) { return memory + turn % kStages * kept_chunks; };
  // A thread reads its own chunks alone, so nobody need wait for others.
  const auto start = [&](unsigned row, int turn) {
    if (row < s.rows) {
      const Part<In, kPlaces> part(s, in, row, rank, each);
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
    const Part<In, kPlaces> part(s, in, row, rank, each);
    wait_for_copies<kStages - 2>();
    MaxSum mine{-INFINITY, 0};
    for_chunks(part, turn, [&](const Chunk<In>(&raw)[kTogether], int) { add(mine, raw, s.exponential); });
    return combined_over_warps(combined(mine, s.exponential), s.exponential, of_warp[turn % 2]);
  };

  unsigned row = blockIdx.x / blocks;
  for (int turn = 0; turn < kStages; ++turn) start(row + turn * of_turn, turn);
  MaxSum all = sums(row, 0);
  if constexpr (kClustered) cluster.begun(), cluster.send(all, 0, rank, blocks);
  for (int turn = 0; row < s.rows; row += of_turn, ++turn) {
    const unsigned next = row + of_turn;
    MaxSum of_next{-INFINITY, 0};
    if (next < s.rows) of_next = sums(next, turn + 1);
    if constexpr (kClustered) {
      all = combined_of(cluster.receive(turn), blocks, s.exponential);
      if (next < s.rows) cluster.send(of_next, turn + 1, rank, blocks);
    }
    const Normalization normalization(all);
    const Part<In, kPlaces> part(s, in, row, rank, each);
    Out* const y = out + row * s.out_stride;
    for_chunks(part, turn, [&](const Chunk<In>(&raw)[kTogether], int chunk) {
#pragma unroll
      for (int c = 0; c < kTogether; ++c) normalization.store(part, raw[c], y, (chunk + c * step) * kOf, s.exponential);
    });
    start(row + kStages * of_turn, turn + kStages);
    all = of_next;
  }
}

// Without clusters a row is split over blocks of a grid that know nothing of each other: one kernel adds, the next stores.
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
  const Normalization normalization(all);
  Out* const y = out + row * s.out_stride;
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += kAhead * step) {
    if (chunk >= kAhead * step) part.load(raw, chunk, step);
#pragma unroll
    for (int c = 0; c < kAhead; ++c) normalization.store(part, raw[c], y, (chunk + c * step) * kChunk<In>, s.exponential);
  }
}

constexpr Tuning kTunings[] = {{{{{"cluster", 1}, {"fixed", 1}, {"threads", 256}}}},
                               {{{{"segments", 8}, {"threads", 256}}}},
                               {{{{"segments", 32}, {"threads", 256}}}},
                               {{{{"segments", 128}, {"threads", 256}}}},
                               {{{{"cluster", 1}, {"threads", 512}}}},
                               {{{{"cluster", 2}, {"threads", 512}}}},
                               {{{{"cluster", 4}, {"threads", 512}}}},
                               {{{{"cluster", 8}, {"threads", 512}}}},
                               {{{{"cluster", 16}, {"threads", 512}}}}};

constexpr size_t kOneBlock = 4;  // of 512 threads, for rows of usual length
static_assert(kTunings[kOneBlock]["cluster"] == 1 && kTunings[kOneBlock]["threads"] == 512);

class Block final : public Kernel {
  // Calls function(kernel, In{}, Out{}) with the kernel for rows that lie so. Before what uses it: its type is deduced.
  template <typename Function>
  auto with_kernel(Places places, const Function& function) const {
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In in, Out out) {
      switch (places) {
        case Places::fixed: return function(block_rows<In, Out, false, Places::fixed>, in, out);
        case Places::aligned:
          return grid_.cluster > 1 ? function(block_rows<In, Out, true, Places::aligned>, in, out)
                                   : function(block_rows<In, Out, false, Places::aligned>, in, out);
        default:
          return grid_.cluster > 1 ? function(block_rows<In, Out, true, Places::any>, in, out)
                                   : function(block_rows<In, Out, false, Places::any>, in, out);
      }
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) {
    auto kernel = std::unique_ptr<Block>(new Block(problem, tuning, facts));
    const Grid& grid = kernel->grid_;
    // As much as any problem wants: the limit is the kernel's, which other plans run too.
    const auto most = static_cast<size_t>(facts.l1d_bytes - kBeside);
    for (const Places places : {Places::aligned, Places::any, Places::fixed})
      METALLIC_CHECK(kernel->with_kernel(places, [&](auto function, auto, auto) -> Status {
        METALLIC_CHECK(allow(function, most, grid.cluster));
        METALLIC_TRY(kernel->at_once_[static_cast<int>(places)], at_once(function, grid, facts));
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
      grid.blocks.x = std::min(grid.blocks.x, at_once_[static_cast<int>(places)] * grid.cluster);
      return launch(function, grid, executor, rows_, static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out),
                    places == Places::aligned ? each_ : each_anywhere_, kept_, grid.cluster);
    });
  }

 private:
  Block(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts)
      : problem_(problem), fixed_(tuning["fixed"] == 1), rows_(problem.softmax()) {
    segments_ = static_cast<unsigned>(tuning["segments"]);
    const int64_t cluster = std::max<int64_t>(tuning["cluster"], 1);
    grid_.threads = static_cast<unsigned>(tuning["threads"]);
    grid_.cluster = static_cast<unsigned>(cluster);
    grid_.blocks = dim3(static_cast<unsigned>(rows_.rows * cluster));
    grid_.early = can_begin_early(facts);
    const int64_t parts = segments_ > 0 ? segments_ : cluster;
    each_ = static_cast<int>((least_chunks(problem) + parts - 1) / parts);
    each_anywhere_ = static_cast<int>((most_chunks(problem) + parts - 1) / parts);
    kept_ = std::min(each_anywhere_, static_cast<int>((facts.l1d_bytes - kBeside) / 16 / kStages));
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

// Bytes of a row that a block of a cluster would hold.
int64_t part_bytes(const Problem& problem, int64_t cluster) { return 16 * most_chunks(problem) / cluster; }

}  // namespace

extern const Variant cuda_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      const int64_t cluster = tuning["cluster"];
      if (cluster > 1 && facts.isa_bit < 90) return "clusters of blocks need compute capability 9.0";
      const SoftmaxShape& s = problem.softmax();
      if (cluster > 1 && part_bytes(problem, cluster) < 4 << 10) return "clusters are for long rows";
      if (s.rows() * std::max<int64_t>(cluster, 1) > kMostRows) return "more blocks than a grid has";
      if (s.rows() * tuning["segments"] > 8 * facts.cores) return "segments are for few rows";
      if (s.seq_k > kMostElements * std::max(cluster, tuning["segments"])) return "parts of rows are too long";
      return std::nullopt;
    },
    // As many blocks as multiprocessors, where rows are few; parts of rows small enough for several blocks on each, where long.
    .prefer = [](const Problem& problem, const DeviceFacts& facts) -> const Tuning& {
      const int64_t rows = problem.softmax().rows();
      const Tuning* best = &kTunings[kOneBlock];
      if (facts.isa_bit < 90) return *best;
      for (const Tuning& tuning : kTunings)
        if (tuning["segments"] > 0 && rows * tuning["segments"] <= facts.cores &&
            part_bytes(problem, tuning["segments"]) >= 4 << 10)
          best = &tuning;
      if (best != &kTunings[kOneBlock]) return *best;
      for (const Tuning& tuning : kTunings) {
        if (tuning["segments"] > 0 || tuning["fixed"] > 0) continue;
        best = &tuning;
        const int64_t cluster = tuning["cluster"];
        const bool fills = rows * cluster >= facts.cores || part_bytes(problem, cluster) <= 8 << 10;
        if (fills && part_bytes(problem, cluster) <= 64 << 10) break;
      }
      return *best;
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) { return Block::make(problem, tuning, facts); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&) -> std::optional<std::string> {
      // Which thread has an element depends on where a row begins, unless all begin at multiples of 16 bytes, as tensors do.
      if (!begins_evenly(problem) && tuning["fixed"] == 0) return std::nullopt;
      if (tuning["segments"] > 0) return fmt::format("row;segments={};threads={}", tuning["segments"], tuning["threads"]);
      return fmt::format("row;cluster={};threads={}", tuning["cluster"], tuning["threads"]);
    },
};

}  // namespace metallic::softmax
