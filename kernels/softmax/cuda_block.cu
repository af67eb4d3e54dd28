// softmax cuda_block: a row shared by a cluster of blocks, each with its part in shared memory, or by segments all over the
// device in two launches where rows are few; what does not fit is read twice.
#include <cooperative_groups.h>

#include <fmt/format.h>

#include <algorithm>

#include "core/variant.h"
#include "kernels/cuda/copy.cuh"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/softmax/rows.cuh"

namespace metallic::softmax {
namespace {
using namespace cuda;
namespace cg = cooperative_groups;

constexpr int kWarp = 32;
constexpr int64_t kBeside = 1024;  // bytes of a block's shared memory that hold no chunks

// Sums and maxima of all threads of all blocks of a row, combined in a fixed order; in every thread.
template <bool kClustered>
__device__ MaxSum of_row(MaxSum mine, const Exponential& exponential) {
  __shared__ MaxSum of_warp[kWarp];
  MaxSum all = combined_over_warps(combined(mine, exponential), exponential, of_warp);
#if __CUDA_ARCH__ >= 900
  if constexpr (kClustered) {
    __shared__ MaxSum of_block;
    const auto cluster = cg::this_cluster();
    if (threadIdx.x == 0) of_block = all;
    cluster.sync();
    const unsigned lane = threadIdx.x % kWarp;
    all = combined(lane < cluster.num_blocks() ? *cluster.map_shared_rank(&of_block, lane) : MaxSum{-INFINITY, 0}, exponential);
    cluster.barrier_arrive();  // who ends waits until the others have read
  }
#endif
  return all;
}

template <typename In, typename Out, bool kClustered, Places kPlaces>
__global__ void __launch_bounds__(1024)
    block_rows(const Rows s, const In* in, Out* out, const int kept_chunks, const unsigned blocks) {
  constexpr int kOf = kChunk<In>;
  extern __shared__ uint4 kept[];
  after_earlier();
  const unsigned row = blockIdx.x / blocks;
  const Part<In, kPlaces> part(s, in, row, blockIdx.x % blocks, blocks);
  const int step = static_cast<int>(blockDim.x), held = min(part.chunks, kept_chunks);
  // What fits is on its way before anything is used. A thread reads its own chunks alone, so nobody need wait for others.
  for (int chunk = static_cast<int>(threadIdx.x); chunk < held; chunk += step)
    if (part.is_wide(chunk * kOf)) start_copy<16>(kept + chunk, part.at + chunk * kOf);
  end_copies();
  wait_for_copies<0>();
  const auto read = [&](int chunk) {
    Chunk<In> raw;
    if (chunk < held)
      raw.bits = kept[chunk];
    else if (part.is_wide(chunk * kOf))
      load_once(raw, part.at + chunk * kOf);
    part.complete(raw, chunk * kOf);
    return raw;
  };
  MaxSum mine{-INFINITY, 0};
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += step) add(mine, read(chunk), s.exponential);
  const Normalization normalization(of_row<kClustered>(mine, s.exponential));
  Out* const y = out + row * s.out_stride;
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += step)
    normalization.store(part, read(chunk), y, chunk * kOf, s.exponential);
#if __CUDA_ARCH__ >= 900
  if constexpr (kClustered) cg::this_cluster().barrier_wait();
#endif
}

// Without clusters a row is split over blocks of a grid that know nothing of each other: one kernel adds, the next stores.
constexpr int kAhead = 4;  // chunks of a thread that are on their way together

template <typename In>
__global__ void __launch_bounds__(1024) segment_sums(const Rows s, const In* in, MaxSum* sums, const unsigned segments) {
  after_earlier();
  const Part<In, Places::any> part(s, in, blockIdx.x / segments, blockIdx.x % segments, segments);
  const int step = static_cast<int>(blockDim.x);
  MaxSum mine{-INFINITY, 0};
  for (int chunk = static_cast<int>(threadIdx.x); chunk < part.chunks; chunk += kAhead * step) {
    Chunk<In> raw[kAhead];
    part.load(raw, chunk, step);
#pragma unroll
    for (int c = 0; c < kAhead; ++c) add(mine, raw[c], s.exponential);
  }
  __shared__ MaxSum of_warp[kWarp];
  const MaxSum all = combined_over_warps(combined(mine, s.exponential), s.exponential, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

template <typename In, typename Out>
__global__ void __launch_bounds__(1024)
    segment_results(const Rows s, const In* in, Out* out, const MaxSum* sums, const unsigned segments) {
  const unsigned row = blockIdx.x / segments;
  const Part<In, Places::any> part(s, in, row, blockIdx.x % segments, segments);
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
                               {{{{"cluster", 1}, {"threads", 256}}}},
                               {{{{"cluster", 1}, {"threads", 512}}}},
                               {{{{"cluster", 1}, {"threads", 1024}}}},
                               {{{{"cluster", 2}, {"threads", 256}}}},
                               {{{{"cluster", 2}, {"threads", 512}}}},
                               {{{{"cluster", 2}, {"threads", 1024}}}},
                               {{{{"cluster", 4}, {"threads", 256}}}},
                               {{{{"cluster", 4}, {"threads", 512}}}},
                               {{{{"cluster", 4}, {"threads", 1024}}}},
                               {{{{"cluster", 8}, {"threads", 256}}}},
                               {{{{"cluster", 8}, {"threads", 512}}}},
                               {{{{"cluster", 8}, {"threads", 1024}}}},
                               {{{{"cluster", 16}, {"threads", 256}}}},
                               {{{{"cluster", 16}, {"threads", 512}}}},
                               {{{{"cluster", 16}, {"threads", 1024}}}}};

constexpr size_t kOneBlock = 5;  // of 512 threads, for rows of usual length
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
      METALLIC_CHECK(kernel->with_kernel(places, [&](auto function, auto, auto) { return allow(function, most, grid.cluster); }));
    return kernel;
  }

  size_t workspace() const override { return static_cast<size_t>(rows_.rows) * segments_ * sizeof(MaxSum); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    if (segments_ > 0) return run_segments(args, reinterpret_cast<MaxSum*>(workspace), executor);
    const Places places = are_aligned(problem_, args) ? Places::aligned : fixed_ ? Places::fixed : Places::any;
    return with_kernel(places, [&]<typename In, typename Out>(auto function, In, Out) {
      return launch(function, grid_, executor, rows_, static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out), kept_,
                    grid_.cluster);
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
    const int64_t wanted = (most_chunks(rows_.seq_k, problem.dtype) + cluster - 1) / cluster;
    kept_ = static_cast<int>(std::min(wanted, (facts.l1d_bytes - kBeside) / 16));
    grid_.shared = static_cast<size_t>(kept_) * 16;
  }

  Code run_segments(const Args& args, MaxSum* sums, Executor& executor) const {
    const Grid grid{
        .blocks = dim3(static_cast<unsigned>(rows_.rows) * segments_), .threads = grid_.threads, .early = grid_.early};
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In, Out) {
      const auto* in = static_cast<const In*>(args.in[0]);
      if (const Code code = launch(segment_sums<In>, grid, executor, rows_, in, sums, segments_); code != Code::ok) return code;
      return launch(segment_results<In, Out>, grid, executor, rows_, in, static_cast<Out*>(args.out), sums, segments_);
    });
  }

  Problem problem_;
  bool fixed_;
  unsigned segments_;
  Rows rows_;
  int kept_;
  Grid grid_;
};

// Bytes of a row that a block of a cluster would hold.
int64_t part_bytes(const Problem& problem, int64_t cluster) {
  return 16 * most_chunks(problem.softmax().seq_k, problem.dtype) / cluster;
}

}  // namespace

extern const Variant cuda_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      const int64_t cluster = tuning["cluster"];
      if (cluster > 1 && facts.isa_bit < 90) return "clusters of blocks need compute capability 9.0";
      const SoftmaxShape& s = problem.softmax();
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
        if (tuning["threads"] != 512 || tuning["segments"] > 0) continue;
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
      const bool aligned = problem.softmax().in_stride * static_cast<int64_t>(size_of(problem.dtype)) % 16 == 0;
      if (!aligned && tuning["fixed"] == 0) return std::nullopt;
      if (tuning["segments"] > 0) return fmt::format("row;segments={};threads={}", tuning["segments"], tuning["threads"]);
      return fmt::format("row;cluster={};threads={}", tuning["cluster"], tuning["threads"]);
    },
};

}  // namespace metallic::softmax
