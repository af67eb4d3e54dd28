// softmax cuda_vec: a row in the registers of a few lanes to a whole block, read and written once.
#include <algorithm>
#include <bit>

#include "core/variant.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/softmax/rows.cuh"

namespace metallic::softmax {
namespace {
using namespace cuda;

constexpr int kWarp = 32;
constexpr int kLeastBlock = 128;   // threads of a block where rows need part of a warp: several rows then
constexpr int kMostOfThread = 32;  // elements of a row in a thread's registers

// 2 to the power of `log_lanes` threads have a row: part of a warp, or whole warps, which are the block then.
template <typename In, typename Out, Places kPlaces, int kChunks>
__global__ void __launch_bounds__(1024) vec_rows(const Rows s, const In* in, Out* out, const int log_lanes) {
  constexpr int kOf = kChunk<In>;
  after_earlier();
  const int lanes = 1 << log_lanes, lane = static_cast<int>(threadIdx.x) & (lanes - 1);
  const unsigned row = blockIdx.x * (blockDim.x >> log_lanes) + (threadIdx.x >> log_lanes);
  const bool there = row < s.rows;
  const Part<In, kPlaces> part(s, in, there ? row : 0);
  Chunk<In> raw[kChunks];
  part.load(raw, lane, lanes);

  MaxSum all{-INFINITY, 0};
#pragma unroll
  for (int c = 0; c < kChunks; ++c) all.max = fmaxf(all.max, max_of(raw[c]));
  // Exponentials for the warp's maximum: one exchange between warps suffices then.
  all.max = max_over(all.max, min(lanes, kWarp));
  const float base = all.max == -INFINITY ? 0.0f : all.max;
#pragma unroll
  for (int i = 0; i < kChunks * kOf; ++i) all.sum += s.exponential.roughly(to_float(raw[i / kOf].at[i % kOf]) - base);
  all.sum = sum_over(all.sum, min(lanes, kWarp));
  if (lanes > kWarp) {
    __shared__ MaxSum of_warp[kWarp];
    all = combined_over_warps(all, s.exponential, of_warp);
  }
  if (!there) return;
  const Normalization normalization(all);
  Out* const y = out + row * s.out_stride;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) normalization.store(part, raw[c], y, (lane + c * lanes) * kOf, s.exponential);
}

constexpr Tuning kTunings[] = {{{{{"threads", 4}}}},   {{{{"threads", 8}}}},   {{{{"threads", 16}}}},
                               {{{{"threads", 32}}}},  {{{{"threads", 64}}}},  {{{{"threads", 128}}}},
                               {{{{"threads", 256}}}}, {{{{"threads", 512}}}}, {{{{"threads", 1024}}}}};

// Chunks that rows have where tensors begin at multiples of 16 bytes; elsewhere some have one more.
int64_t usual_chunks(const Problem& problem) {
  const SoftmaxShape& s = problem.softmax();
  const auto size = static_cast<int64_t>(size_of(problem.dtype)), chunk = 16 / size;
  return s.in_stride % chunk == 0 ? (s.seq_k + chunk - 1) / chunk : most_chunks(s.seq_k, problem.dtype);
}

// Elements that a thread has of those.
int64_t elements_of_thread(const Problem& problem, int64_t threads) {
  return (usual_chunks(problem) + threads - 1) / threads * 16 / static_cast<int64_t>(size_of(problem.dtype));
}

class Vec final : public Kernel {
 public:
  Vec(const Problem& problem, int64_t threads, const DeviceFacts& facts)
      : problem_(problem), rows_(problem.softmax()), lanes_(static_cast<int>(threads)) {
    // What whole warps exchange is one row's.
    grid_.threads = static_cast<unsigned>(lanes_ > kWarp ? lanes_ : kLeastBlock);
    const int64_t of_block = grid_.threads / lanes_;
    grid_.blocks = dim3(static_cast<unsigned>((rows_.rows + of_block - 1) / of_block));
    grid_.early = can_begin_early(facts);
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    const bool usual = reinterpret_cast<uintptr_t>(args.in[0]) % 16 == 0, aligned = are_aligned(problem_, args);
    const int64_t chunks = usual ? usual_chunks(problem_) : most_chunks(rows_.seq_k, problem_.dtype);
    const int64_t of_thread = std::max<int64_t>((chunks + lanes_ - 1) / lanes_, 1);
    return with_types(problem_.dtype, problem_.out_dtype, [&]<typename In, typename Out>(In, Out) {
      constexpr int kMost = kMostOfThread / kChunk<In> + 1;
      return aligned ? start<kMost - 1, Places::aligned, In, Out>(of_thread, args, executor)
                     : start<kMost, Places::any, In, Out>(of_thread, args, executor);
    });
  }

 private:
  // The kernel of so many chunks, kMost or fewer.
  template <int kMost, Places kPlaces, typename In, typename Out>
  Code start(int64_t chunks, const Args& args, Executor& executor) const {
    if constexpr (kMost > 1)
      if (chunks < kMost) return start<kMost - 1, kPlaces, In, Out>(chunks, args, executor);
    return launch(vec_rows<In, Out, kPlaces, kMost>, grid_, executor, rows_, static_cast<const In*>(args.in[0]),
                  static_cast<Out*>(args.out), std::countr_zero(static_cast<unsigned>(lanes_)));
  }

  Problem problem_;
  Rows rows_;
  int lanes_;
  Grid grid_;
};

}  // namespace

extern const Variant cuda_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      if (elements_of_thread(problem, tuning["threads"]) > kMostOfThread) return "a row does not fit in the threads' registers";
      if (problem.softmax().rows() > kMostRows) return "more rows than a grid has blocks";
      return std::nullopt;
    },
    // Sixteen elements a thread at most, 32 where rows are long: loads in flight for every lane, few exchanges between warps.
    .prefer = [](const Problem& problem, const DeviceFacts&) -> const Tuning& {
      const int64_t wanted = problem.softmax().seq_k > 2048 ? 32 : 16;
      for (const Tuning& tuning : kTunings)
        if (elements_of_thread(problem, tuning["threads"]) <= wanted) return tuning;
      return kTunings[std::size(kTunings) - 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<Vec>(problem, tuning["threads"], facts); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&) -> std::optional<std::string> {
      // Which thread has an element depends on where a row begins, unless all begin at multiples of 16 bytes.
      if (problem.softmax().in_stride * static_cast<int64_t>(size_of(problem.dtype)) % 16 != 0) return std::nullopt;
      return "row;" + to_string(tuning);
    },
};

}  // namespace metallic::softmax
