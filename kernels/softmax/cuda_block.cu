// softmax cuda_block: a row shared by a cluster of blocks, each with its part in shared memory, or by segments all over the
// device in two launches where rows are few; what does not fit is read twice.
#include <cooperative_groups.h>

#include <fmt/format.h>

#include <algorithm>

#include "core/variant.h"
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

// kFixed: chunks begin at the row's begin wherever that lies, so that a row's sums do not depend on its place.
template <typename In, typename Out, bool kClustered, bool kFixed>
__global__ void __launch_bounds__(1024)
    block_rows(const Rows s, const In* in, Out* out, const int64_t kept_chunks, const unsigned blocks) {
  constexpr int kOf = kChunk<In>;
  extern __shared__ uint4 kept[];
  const int64_t row = blockIdx.x / blocks;
  const int64_t part = blockIdx.x % blocks;
  const In* x = in + row * s.in_stride;
  Out* y = out + row * s.out_stride;
  const int64_t visible = s.visible(row), skipped = kFixed ? 0 : before(x);
  const bool aligned = !kFixed || before(x) == 0;
  const int64_t chunks = (skipped + s.seq_k + kOf - 1) / kOf;
  const int64_t of_block = (chunks + blocks - 1) / blocks, first = part * of_block;
  const int64_t count = max(min(of_block, chunks - first), int64_t{0}), held = min(count, kept_chunks);
  const auto begin_of = [&](int64_t chunk) { return (first + chunk) * kOf - skipped; };
  const auto is_whole = [&](int64_t begin) { return aligned && begin >= 0 && begin + kOf <= visible; };

  // What fits is on its way before anything is used. A thread reads its own chunks alone, so nobody need wait for others.
  for (int64_t chunk = threadIdx.x; chunk < held; chunk += blockDim.x) {
    const int64_t begin = begin_of(chunk);
    if (is_whole(begin)) {
      const auto to = static_cast<unsigned>(__cvta_generic_to_shared(kept + chunk));
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(x + begin));
    } else {
      Chunk<In> edge;
      load_elements(edge, x, begin, visible, from_float<In>(-INFINITY));
      kept[chunk] = edge.bits;
    }
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
  const auto read = [&](int64_t chunk) {
    Chunk<In> raw;
    if (chunk < held)
      raw.bits = kept[chunk];
    else if (is_whole(begin_of(chunk)))
      load_once(raw, x + begin_of(chunk));
    else
      load_elements(raw, x, begin_of(chunk), visible, from_float<In>(-INFINITY));
    return raw;
  };

  float max = -INFINITY;
  for (int64_t chunk = threadIdx.x; chunk < count; chunk += blockDim.x) max = fmaxf(max, max_of(read(chunk)));
  // A thread's sum is made for its own maximum, so that nobody waits in between. −∞ and nothing else: terms are 0 to any base.
  const float own = max == -INFINITY ? 0.0f : max;
  float sum = 0;
  for (int64_t chunk = threadIdx.x; chunk < count; chunk += blockDim.x) {
    const Chunk<In> raw = read(chunk);
#pragma unroll
    for (int i = 0; i < kOf; ++i) sum += s.exponential.roughly(to_float(raw.at[i]) - own);
  }
  const MaxSum all = of_row<kClustered>({max, sum}, s.exponential);
  const float factor = 1.0f / all.sum, base = all.max == -INFINITY ? 0.0f : all.max;

  for (int64_t chunk = threadIdx.x; chunk < count; chunk += blockDim.x) {
    const int64_t begin = begin_of(chunk);
    float results[kOf];
    const Chunk<In> raw = read(chunk);
    const bool whole = begin >= 0 && begin + kOf <= visible;
#pragma unroll
    for (int i = 0; i < kOf; ++i)
      results[i] = whole || begin + i < visible ? s.exponential(to_float(raw.at[i]) - base) * factor : 0.0f;
    store_floats<kOf>(results, y, begin, s.seq_k);
  }
#if __CUDA_ARCH__ >= 900
  if constexpr (kClustered) cg::this_cluster().barrier_wait();
#endif
}

// The chunks of a segment of a row, of which each thread has some.
template <typename In>
struct Segment {
  static constexpr int kOf = kChunk<In>;
  const In* x;
  int64_t row, visible, skipped, first, count;

  __device__ Segment(const Rows& s, const In* in, unsigned segments) : row(blockIdx.x / segments) {
    x = in + row * s.in_stride;
    visible = s.visible(row), skipped = before(x);
    const int64_t chunks = (skipped + s.seq_k + kOf - 1) / kOf, of_segment = (chunks + segments - 1) / segments;
    first = blockIdx.x % segments * of_segment;
    count = max(min(of_segment, chunks - first), int64_t{0});
  }
  __device__ int64_t begin(int64_t chunk) const { return (first + chunk) * kOf - skipped; }
  __device__ Chunk<In> read(int64_t chunk) const {
    Chunk<In> raw;
    load_chunk(raw, x, begin(chunk), visible, from_float<In>(-INFINITY));
    return raw;
  }
};

template <typename In>
__global__ void __launch_bounds__(1024) segment_sums(const Rows s, const In* in, MaxSum* sums, const unsigned segments) {
  const Segment<In> segment(s, in, segments);
  MaxSum mine{-INFINITY, 0};
  for (int64_t chunk = threadIdx.x; chunk < segment.count; chunk += blockDim.x) {
    const Chunk<In> raw = segment.read(chunk);
    const float max = fmaxf(mine.max, max_of(raw)), base = max == -INFINITY ? 0.0f : max;
    float sum = mine.sum * rescale(mine.max, max, s.exponential);
#pragma unroll
    for (int i = 0; i < kChunk<In>; ++i) sum += s.exponential.roughly(to_float(raw.at[i]) - base);
    mine = {max, sum};
  }
  __shared__ MaxSum of_warp[kWarp];
  const MaxSum all = combined_over_warps(combined(mine, s.exponential), s.exponential, of_warp);
  if (threadIdx.x == 0) sums[blockIdx.x] = all;
}

template <typename In, typename Out>
__global__ void __launch_bounds__(1024)
    segment_results(const Rows s, const In* in, Out* out, const MaxSum* sums, const unsigned segments) {
  const Segment<In> segment(s, in, segments);
  MaxSum all{-INFINITY, 0};
  for (unsigned first = 0; first < segments; first += kWarp) {
    const unsigned at = first + threadIdx.x % kWarp;
    const MaxSum some = combined(at < segments ? sums[segment.row * segments + at] : MaxSum{-INFINITY, 0}, s.exponential);
    const float max = fmaxf(all.max, some.max);
    all = {max, all.sum * rescale(all.max, max, s.exponential) + some.sum * rescale(some.max, max, s.exponential)};
  }
  const float factor = 1.0f / all.sum, base = all.max == -INFINITY ? 0.0f : all.max;
  Out* y = out + segment.row * s.out_stride;
  for (int64_t chunk = threadIdx.x; chunk < segment.count; chunk += blockDim.x) {
    const int64_t begin = segment.begin(chunk);
    const Chunk<In> raw = segment.read(chunk);
    float results[kChunk<In>];
#pragma unroll
    for (int i = 0; i < kChunk<In>; ++i)
      results[i] = begin + i < segment.visible ? s.exponential(to_float(raw.at[i]) - base) * factor : 0.0f;
    store_floats<kChunk<In>>(results, y, begin, s.seq_k);
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
  // Calls function(kernel, In{}, Out{}) with the problem's kernel. Before what uses it: its type is deduced.
  template <typename Function>
  auto with_kernel(const Function& function) const {
    return with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      if (fixed_) return function(block_rows<In, Out, false, true>, in, out);
      return grid_.cluster > 1 ? function(block_rows<In, Out, true, false>, in, out)
                               : function(block_rows<In, Out, false, false>, in, out);
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) {
    auto kernel = std::unique_ptr<Block>(new Block(problem, tuning, facts));
    const Grid& grid = kernel->grid_;
    // As much as any problem wants: the limit is the kernel's, which other plans run too.
    const auto most = static_cast<size_t>(facts.l1d_bytes - kBeside);
    METALLIC_CHECK(kernel->with_kernel([&](auto function, auto, auto) { return allow(function, most, grid.cluster); }));
    return kernel;
  }

  size_t workspace() const override { return static_cast<size_t>(rows_.rows) * segments_ * sizeof(MaxSum); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    if (segments_ > 0) return run_segments(args, reinterpret_cast<MaxSum*>(workspace), executor);
    return with_kernel([&]<typename In, typename Out>(auto function, In, Out) {
      return launch(function, grid_, executor, rows_, static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out), kept_,
                    grid_.cluster);
    });
  }

 private:
  Block(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts)
      : dtype_(problem.dtype), out_dtype_(problem.out_dtype), fixed_(tuning["fixed"] == 1), rows_(problem.softmax()) {
    segments_ = static_cast<unsigned>(tuning["segments"]);
    const int64_t cluster = std::max<int64_t>(tuning["cluster"], 1);
    grid_.threads = static_cast<unsigned>(tuning["threads"]);
    grid_.cluster = static_cast<unsigned>(cluster);
    grid_.blocks = dim3(static_cast<unsigned>(rows_.rows * cluster));
    const int64_t wanted = (most_chunks(rows_.seq_k, problem.dtype) + cluster - 1) / cluster;
    kept_ = std::min(wanted, (facts.l1d_bytes - kBeside) / 16);
    grid_.shared = static_cast<size_t>(kept_) * 16;
  }

  Code run_segments(const Args& args, MaxSum* sums, Executor& executor) const {
    Grid grid{.blocks = dim3(static_cast<unsigned>(rows_.rows) * segments_), .threads = grid_.threads};
    return with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In, Out) {
      const auto* in = static_cast<const In*>(args.in[0]);
      if (const Code code = launch(segment_sums<In>, grid, executor, rows_, in, sums, segments_); code != Code::ok) return code;
      return launch(segment_results<In, Out>, grid, executor, rows_, in, static_cast<Out*>(args.out), sums, segments_);
    });
  }

  DType dtype_, out_dtype_;
  bool fixed_;
  unsigned segments_;
  Rows rows_;
  int64_t kept_;
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
      if (problem.softmax().rows() * std::max<int64_t>(cluster, 1) > int64_t{1} << 30) return "more blocks than a grid has";
      if (problem.softmax().rows() * tuning["segments"] > 8 * facts.cores) return "segments are for few rows";
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
