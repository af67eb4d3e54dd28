// softmax cuda_vec: a row in the registers of a few lanes to a whole block, read and written once.
#include <algorithm>

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
constexpr int kMostElements = 32;  // of a row in a thread's registers

// `lanes` threads have a row: part of a warp, or whole warps, which are the block then.
template <typename In, typename Out, int kChunks>
__global__ void __launch_bounds__(1024) vec_rows(const Rows s, const In* in, Out* out, const int lanes) {
  constexpr int kOf = kChunk<In>;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / lanes) + threadIdx.x / lanes;
  const bool there = row < s.rows;
  const In* x = in + (there ? row : 0) * s.in_stride;
  Out* y = out + (there ? row : 0) * s.out_stride;
  const int64_t visible = there ? s.visible(row) : 0, count = there ? s.seq_k : 0;
  // Chunks begin at multiples of 16 bytes, so that the first may begin before the row.
  const int64_t skipped = before(x);

  Chunk<In> raw[kChunks];
#pragma unroll
  for (int c = 0; c < kChunks; ++c)
    load_chunk_within(raw[c], x, static_cast<int64_t>(c * lanes + lane) * kOf - skipped, visible, -row * s.in_stride,
                      (s.rows - 1 - row) * s.in_stride + s.seq_k, from_float<In>(-INFINITY));

  float max = -INFINITY;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) max = fmaxf(max, max_of(raw[c]));
  // Exponentials for the warp's maximum: one exchange between warps suffices then.
  max = max_over(max, lanes < kWarp ? lanes : kWarp);
  // Where all terms are −∞ theirs are 0, which over a sum of 0 gives the NaN that such a row has.
  const float base = max == -INFINITY ? 0.0f : max;
  float terms[kChunks * kOf], sum = 0;
#pragma unroll
  for (int i = 0; i < kChunks * kOf; ++i) {
    terms[i] = s.exponential(to_float(raw[i / kOf].at[i % kOf]) - base);
    sum += terms[i];
  }
  sum = sum_over(sum, lanes < kWarp ? lanes : kWarp);
  float factor = 1.0f / sum;
  if (lanes > kWarp) {
    __shared__ MaxSum of_warp[kWarp];
    const MaxSum all = combined_over_warps({max, sum}, s.exponential, of_warp);
    factor = rescale(max, all.max, s.exponential) / all.sum;
  }
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const int64_t begin = static_cast<int64_t>(c * lanes + lane) * kOf - skipped;
    if (begin >= count) continue;
    float results[kOf];
    // What is behind the mask is 0 in a row of NaN too.
    const bool whole = begin + kOf <= visible;
#pragma unroll
    for (int i = 0; i < kOf; ++i) results[i] = whole || begin + i < visible ? terms[c * kOf + i] * factor : 0.0f;
    store_floats<kOf>(results, y, begin, count);
  }
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
  Vec(const Problem& problem, int64_t threads)
      : dtype_(problem.dtype), out_dtype_(problem.out_dtype), lanes_(static_cast<int>(threads)), rows_(problem.softmax()) {
    usual_chunks_ = usual_chunks(problem);
    most_chunks_ = most_chunks(rows_.seq_k, dtype_);
    // What whole warps exchange is one row's.
    grid_.threads = static_cast<unsigned>(lanes_ > kWarp ? lanes_ : kLeastBlock);
    const int64_t of_block = grid_.threads / lanes_;
    grid_.blocks = dim3(static_cast<unsigned>((rows_.rows + of_block - 1) / of_block));
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    const bool usual = reinterpret_cast<uintptr_t>(args.in[0]) % 16 == 0;
    const int64_t chunks = std::max<int64_t>(((usual ? usual_chunks_ : most_chunks_) + lanes_ - 1) / lanes_, 1);
    return with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In, Out) {
      return start<kMostElements / kChunk<In> + 1, In, Out>(chunks, args, executor);
    });
  }

 private:
  // The kernel of so many chunks, kMost or fewer.
  template <int kMost, typename In, typename Out>
  Code start(int64_t chunks, const Args& args, Executor& executor) const {
    if constexpr (kMost > 1)
      if (chunks < kMost) return start<kMost - 1, In, Out>(chunks, args, executor);
    return launch(vec_rows<In, Out, kMost>, grid_, executor, rows_, static_cast<const In*>(args.in[0]),
                  static_cast<Out*>(args.out), lanes_);
  }

  DType dtype_, out_dtype_;
  int lanes_;
  Rows rows_;
  int64_t usual_chunks_, most_chunks_;
  Grid grid_;
};

}  // namespace

extern const Variant cuda_vec = {
    .family = "vec",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      if (elements_of_thread(problem, tuning["threads"]) > kMostElements) return "a row does not fit in the threads' registers";
      if (problem.softmax().rows() > int64_t{1} << 30) return "more rows than a grid has blocks";
      return std::nullopt;
    },
    // Sixteen elements a thread at most, 32 where rows are long: loads in flight for every lane, few exchanges between warps.
    .prefer = [](const Problem& problem, const DeviceFacts&) -> const Tuning& {
      const int64_t wanted = problem.softmax().seq_k > 2048 ? 32 : 16;
      for (const Tuning& tuning : kTunings)
        if (elements_of_thread(problem, tuning["threads"]) <= wanted) return tuning;
      return kTunings[std::size(kTunings) - 1];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&, Planner&)
        -> Result<std::unique_ptr<const Kernel>> { return std::make_unique<Vec>(problem, tuning["threads"]); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&) -> std::optional<std::string> {
      // Which thread has an element depends on where a row begins, unless all begin at multiples of 16 bytes.
      if (problem.softmax().in_stride * static_cast<int64_t>(size_of(problem.dtype)) % 16 != 0) return std::nullopt;
      return "row;" + to_string(tuning);
    },
};

}  // namespace metallic::softmax
