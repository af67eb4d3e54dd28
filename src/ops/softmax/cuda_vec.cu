// softmax cuda_vec: a row in the registers of a few lanes, of a whole block or of a cluster of blocks, read and written once.
#include <algorithm>
#include <bit>

#include "ops/variant.h"
#include "ops/cuda/cluster.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/reduce.cuh"
#include "ops/softmax/rows.cuh"

namespace metallic::softmax {
namespace {
using namespace cuda;

constexpr int kWarp = 32;
constexpr int kLeastLanes = 4;     // threads of a row
constexpr int kSharedBlock = 128;  // threads of a block that has several rows
constexpr int kMostChunks = 8;     // of a row in a thread's registers
constexpr int kMostTerms = 40;     // that it has there instead, where a factor makes results of them

// A row's threads are a power of two that is part of a warp, of which blocks have several along y, or a block's, or those of
// the `blocks` of a cluster.
template <typename In, typename Out, Places kPlaces, int kChunks, bool kClustered>
__global__ void __launch_bounds__(1024) vec_rows(const Rows s, const In* in, Out* out, const unsigned blocks) {
  constexpr int kOf = kChunk<In>;
  constexpr bool kTermsStay = sizeof(Out) == 2 && kChunks * kOf <= kMostTerms;  // 16 bits show no difference
  __shared__ ClusterExchange<MaxSum> cluster;
  if constexpr (kClustered) cluster.begin();
  after_earlier();
  int lane = static_cast<int>(threadIdx.x), lanes = static_cast<int>(blockDim.x);
  unsigned row = blockIdx.x * blockDim.y + threadIdx.y;
  if constexpr (kClustered) {
    row = blockIdx.x / blocks;
    lane += static_cast<int>(blockIdx.x % blocks) * lanes;
    lanes *= static_cast<int>(blocks);
  }
  const bool there = row < s.rows;
  const Part<In, kPlaces> part(s, in, there ? row : 0);
  Chunk<In> raw[kChunks];
  part.load(raw, lane, lanes);

  // Exponentials for the warp's maximum: one exchange between warps suffices then.
  MaxSum mine{max_over(max_of(raw), min(lanes, kWarp)), 0};
  const float base = mine.max == -INFINITY ? 0.0f : mine.max;
  float terms[kTermsStay ? kChunks : 1][kOf];
  // Warps pass over what no lane of theirs has: the last chunk is often few lanes'.
  const auto for_chunks = [&](const auto& function) {
#pragma unroll
    for (int c = 0; c < kChunks; ++c)
      if (const int begin = (lane + c * lanes) * kOf; c == 0 || part.has(begin))
        function(raw[c], terms[kTermsStay ? c : 0], begin);
  };
  for_chunks([&](const Chunk<In>& chunk, float(&term)[kOf], int) {
#pragma unroll
    for (int i = 0; i < kOf; ++i) {
      term[i] = s.exponential.roughly(element(chunk, i) - base);
      mine.sum += term[i];
    }
  });
  mine.sum = sum_over(mine.sum, min(lanes, kWarp));
  MaxSum all = mine;
  if (lanes > kWarp) {
    __shared__ MaxSum of_warp[kWarp];
    all = combined_over_warps(mine, s.exponential, of_warp);
    if constexpr (kClustered) all = combined_of(cluster.all_of(all, blockIdx.x % blocks, blocks), blocks, s.exponential);
  }
  if (!there) return;
  Out* const y = out + row * s.out_stride;
  if constexpr (kTermsStay) {
    const float factor = rescale(mine.max, all.max, s.exponential) / all.sum;
    for_chunks([&](const Chunk<In>&, float(&term)[kOf], int begin) {
#pragma unroll
      for (int i = 0; i < kOf; ++i) term[i] *= factor;
      part.store(term, y, begin);
    });
  } else {
    const Normalization<Out> normalization(all);
    for_chunks(
        [&](const Chunk<In>& chunk, float(&)[kOf], int begin) { normalization.store(part, chunk, y, begin, s.exponential); });
  }
}

// Chunks of 16 bytes that a thread has of a row; most threads that a block has, beyond which a cluster of blocks has the row.
constexpr Tuning kTunings[] = {{{{{"block", 512}, {"chunks", 1}}}},  {{{{"block", 512}, {"chunks", 2}}}},
                               {{{{"block", 512}, {"chunks", 4}}}},  {{{{"block", 512}, {"chunks", 8}}}},
                               {{{{"block", 1024}, {"chunks", 1}}}}, {{{{"block", 1024}, {"chunks", 2}}}},
                               {{{{"block", 1024}, {"chunks", 4}}}}, {{{{"block", 1024}, {"chunks", 8}}}}};

// How the threads of a row lie.
struct Threads {
  int64_t of_block, blocks;
  int64_t chunks, chunks_anywhere;  // of a thread where tensors begin at multiples of 16 bytes, and elsewhere

  Threads(const Problem& problem, const Tuning& tuning) {
    const bool aligned = begins_evenly(problem);
    const int64_t most = most_chunks(problem), usual = aligned ? least_chunks(problem) : most;
    // Rows that begin anywhere may have a chunk more than fits: of several warps one takes it, all of less than a warp.
    const int64_t of_lane = tuning["chunks"], most_of_lane = of_lane + (aligned ? 0 : 1);
    const auto split = [](int64_t x, int64_t by) { return (x + by - 1) / by; };
    const int64_t of_warps = split(usual - (aligned ? 0 : kWarp), of_lane);
    const int64_t wanted = std::max<int64_t>(of_warps > 2 * kWarp ? of_warps : split(usual, most_of_lane), kLeastLanes);
    const auto least_power = [](int64_t x) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(x))); };
    blocks = least_power(split(wanted, tuning["block"]));
    of_block = wanted <= kWarp ? least_power(wanted) : split(split(wanted, blocks), kWarp) * kWarp;
    chunks = std::max<int64_t>(split(usual, of_block * blocks), 1);
    chunks_anywhere = std::max<int64_t>(split(most, of_block * blocks), 1);
  }
};

class Vec final : public Kernel {
  // Calls function(kernel, In{}, Out{}) with the kernel for so many chunks of a thread, or the next that has more: not all have
  // one, fewest for clusters. Before what uses it: its type is deduced.
  template <Places kPlaces, typename Function>
  auto with_kernel(int64_t chunks, const Function& function) const {
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In, Out) {
      constexpr int kMost = kMostChunks + (kPlaces == Places::aligned ? 0 : 1);
      return grid_.cluster > 1 ? with_chunks<In, Out, kPlaces, kMost, true>(chunks, function)
                               : with_chunks<In, Out, kPlaces, kMost, false>(chunks, function);
    });
  }

  template <typename In, typename Out, Places kPlaces, int kChunks, bool kClustered, typename Function>
  static auto with_chunks(int64_t chunks, const Function& function) {
    constexpr int kFewer = kClustered ? (kChunks + 1) / 2 : kChunks > 5 ? kChunks - 2 : kChunks - 1;
    if constexpr (kChunks > 1)
      if (chunks <= kFewer) return with_chunks<In, Out, kPlaces, kFewer, kClustered>(chunks, function);
    return function(vec_rows<In, Out, kPlaces, kChunks, kClustered>, In{}, Out{});
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Vec>(new Vec(problem, tuning, device));
    const auto allow_it = [&](auto function, auto, auto) { return allow(function, 0, kernel->grid_.cluster); };
    for (const int64_t chunks : {kernel->threads_.chunks, kernel->threads_.chunks_anywhere}) {
      METALLIC_CHECK(kernel->with_kernel<Places::aligned>(chunks, allow_it));
      METALLIC_CHECK(kernel->with_kernel<Places::any>(chunks, allow_it));
    }
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    const bool usual = reinterpret_cast<uintptr_t>(args.in[0]) % 16 == 0;
    const int64_t chunks = usual ? threads_.chunks : threads_.chunks_anywhere;
    const auto start = [&]<typename In, typename Out>(auto function, In, Out) {
      return launch(function, grid_, executor, rows_, static_cast<const In*>(args.in[0]), static_cast<Out*>(args.out),
                    grid_.cluster);
    };
    return are_aligned(problem_, args) ? with_kernel<Places::aligned>(chunks, start) : with_kernel<Places::any>(chunks, start);
  }

 private:
  Vec(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : problem_(problem), rows_(problem.softmax()), threads_(problem, tuning) {
    const int64_t of_block = threads_.of_block, rows = std::max<int64_t>(of_block <= kWarp ? kSharedBlock / of_block : 1, 1);
    grid_.threads = dim3(static_cast<unsigned>(of_block), static_cast<unsigned>(rows));
    grid_.cluster = static_cast<unsigned>(threads_.blocks);
    grid_.blocks = dim3(static_cast<unsigned>((rows_.rows + rows - 1) / rows * threads_.blocks));
    grid_.early = can_begin_early(device);
  }

  Problem problem_;
  Rows rows_;
  Threads threads_;
  Grid grid_;
};

std::optional<std::string> refuses(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  if (auto reason = cuda::refuses_device(device)) return reason;
  const Threads threads(problem, tuning);
  if (threads.blocks > 1 && device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
  if (threads.blocks > kMostBlocks) return "a row does not fit in the registers of a cluster's threads";
  if (tuning["block"] > kTunings[0]["block"] && threads.blocks * threads.of_block <= kTunings[0]["block"])
    return "smaller blocks suffice";
  if (problem.softmax().rows() * threads.blocks > kMostRows) return "more rows than a grid has blocks";
  return std::nullopt;
}

// What a tuning takes, in times of a chunk: those of a thread and what surrounds them, longer where more threads are wanted than
// a multiprocessor has registers for, an exchange between warps, and one between blocks. The figures lose least against the best
// tuning of each of 3004 problems that two tunes of an H100 timed: 1.5 and 1.9 % for 16 and 32 bits, 1.0 and 1.3 if causal.
double cost(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  const Threads threads(problem, tuning);
  const int64_t of_row = threads.of_block * threads.blocks;
  const auto chunks = static_cast<double>((least_chunks(problem) + of_row - 1) / of_row);
  const double wanted = static_cast<double>(problem.softmax().rows() * of_row) / static_cast<double>(device.cuda().num_sms);
  const double at_once = 2900 / (4 + chunks);
  return (2.5 + chunks) * std::max(1.0, wanted / at_once) + (of_row > kWarp ? 1.6 : 0) + (threads.blocks > 1 ? 2.6 : 0) +
         (tuning["block"] > 512 ? 10 : 0);
}

}  // namespace

extern const Variant cuda_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = refuses,
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const Tuning* best = nullptr;
      for (const Tuning& tuning : kTunings)
        if (!refuses(problem, tuning, device) && (!best || cost(problem, tuning, device) < cost(problem, *best, device)))
          best = &tuning;
      return best ? *best : kTunings[0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Vec::make(problem, tuning, device); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&) -> std::optional<std::string> {
      // Which thread has an element depends on where a row begins, unless all begin at multiples of 16 bytes.
      if (!begins_evenly(problem)) return std::nullopt;
      return "row;" + to_string(tuning);
    },
};

}  // namespace metallic::softmax
