// SPDX-License-Identifier: Apache-2.0
// softmax cuda_vec: a row in the registers of a few lanes, of a block or of a cluster of blocks, read and written once.
#include <algorithm>
#include <bit>

#include "ops/cuda/cluster.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/warp.cuh"
#include "ops/softmax/cuda_vec.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {
namespace {
using cuda::kWarpSize;

constexpr int kMinRowThreads = 4;
constexpr int kSharedBlock = 128;  // threads of a block that has several rows

// `chunks`: 16-byte chunks of a row per thread. `block`: threads of a block, at most; larger rows have a cluster of blocks.
constexpr Tuning kTunings[] = {{{{{"block", 512}, {"chunks", 1}}}},  {{{{"block", 512}, {"chunks", 2}}}},
                               {{{{"block", 512}, {"chunks", 4}}}},  {{{{"block", 512}, {"chunks", 8}}}},
                               {{{{"block", 1024}, {"chunks", 1}}}}, {{{{"block", 1024}, {"chunks", 2}}}},
                               {{{{"block", 1024}, {"chunks", 4}}}}, {{{{"block", 1024}, {"chunks", 8}}}}};

// The threads of a row.
struct RowThreads {
  int64_t block_threads, cluster_size;
  int64_t chunks, chunks_unaligned;  // of a thread if the tensors are aligned to 16 bytes, and otherwise

  RowThreads(const Problem& problem, const Tuning& tuning) {
    const bool aligned = stride_aligned(problem);
    const int64_t most = max_row_chunks(problem), usual = aligned ? min_row_chunks(problem) : most;
    // An unaligned row may have one chunk too many. With several warps a thread of one takes it, below that all threads have
    // room.
    const int64_t per_lane = tuning["chunks"], max_per_lane = per_lane + (aligned ? 0 : 1);
    const auto ceil_div = [](int64_t x, int64_t y) { return (x + y - 1) / y; };
    const int64_t lanes = ceil_div(usual - (aligned ? 0 : kWarpSize), per_lane);
    const int64_t wanted = std::max<int64_t>(lanes > 2 * kWarpSize ? lanes : ceil_div(usual, max_per_lane), kMinRowThreads);
    const auto round_up_to_power = [](int64_t x) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(x))); };
    cluster_size = round_up_to_power(ceil_div(wanted, tuning["block"]));
    block_threads =
        wanted <= kWarpSize ? round_up_to_power(wanted) : ceil_div(ceil_div(wanted, cluster_size), kWarpSize) * kWarpSize;
    chunks = std::max<int64_t>(ceil_div(usual, block_threads * cluster_size), 1);
    chunks_unaligned = std::max<int64_t>(ceil_div(most, block_threads * cluster_size), 1);
  }
};

// The kernel with the fewest chunks that suffice.
const VecInstance* find_instance(const Problem& problem, RowAlignment alignment, bool clustered, int64_t chunks) {
  return cuda::find_instance<VecInstance>({kVecF16, kVecBf16, kVecF32}, [&](const VecInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.alignment == alignment &&
           instance.clustered == clustered && instance.chunks >= chunks;
  });
}

class Vec final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Vec>(new Vec(problem, tuning, device));
    for (const VecInstance* k : {kernel->rows_aligned_, kernel->aligned_, kernel->unaligned_})
      METALLIC_CHECK(cuda::set_kernel_limits(k->kernel, 0, kernel->launch_.cluster_size));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    const VecInstance& k = rows_aligned(problem_, args)                        ? *rows_aligned_
                           : reinterpret_cast<uintptr_t>(args.in[0]) % 16 == 0 ? *aligned_
                                                                               : *unaligned_;
    return cuda::launch_kernel(k.kernel, launch_, executor, rows_, args.in[0], args.out, launch_.cluster_size);
  }

 private:
  Vec(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : problem_(problem), rows_(problem.as<SoftmaxShape>()) {
    const RowThreads threads(problem, tuning);
    const bool clustered = threads.cluster_size > 1;
    // Rows are aligned only if their stride is, and then `chunks` is at most what the tuning asks for.
    rows_aligned_ = stride_aligned(problem) ? find_instance(problem, RowAlignment::aligned, clustered, threads.chunks) : nullptr;
    aligned_ = find_instance(problem, RowAlignment::any, clustered, threads.chunks);
    unaligned_ = find_instance(problem, RowAlignment::any, clustered, threads.chunks_unaligned);
    if (!rows_aligned_) rows_aligned_ = aligned_;
    const int64_t block_threads = threads.block_threads;
    const int64_t block_rows = std::max<int64_t>(block_threads <= kWarpSize ? kSharedBlock / block_threads : 1, 1);
    launch_.block = dim3(static_cast<unsigned>(block_threads), static_cast<unsigned>(block_rows));
    launch_.cluster_size = static_cast<unsigned>(threads.cluster_size);
    launch_.grid = dim3(static_cast<unsigned>((rows_.rows + block_rows - 1) / block_rows * threads.cluster_size));
    launch_.pdl = cuda::supports_pdl(device);
  }

  Problem problem_;
  SoftmaxRows rows_;
  cuda::LaunchConfig launch_;
  const VecInstance* rows_aligned_;          // if all rows are aligned
  const VecInstance *aligned_, *unaligned_;  // otherwise: if the input's address is a multiple of 16 bytes, or not
};

std::optional<std::string> refuses(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  if (auto reason = cuda::refuses_device(device)) return reason;
  const RowThreads threads(problem, tuning);
  if (threads.cluster_size > 1 && device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
  if (threads.cluster_size > cuda::kMaxClusterSize) return "a row does not fit in the registers of a cluster's threads";
  if (tuning["block"] > kTunings[0]["block"] && threads.cluster_size * threads.block_threads <= kTunings[0]["block"])
    return "smaller blocks suffice";
  if (problem.as<SoftmaxShape>().rows() * threads.cluster_size > kMaxRows) return "more rows than a grid has blocks";
  return std::nullopt;
}

// The predicted time of a tuning, in units of a chunk: a thread's chunks and its overhead, times the waves of threads that
// registers limit, plus an exchange between warps and one between blocks. Fitted to 3004 problems timed on an H100: the loss
// against the best tuning is 1.5 and 1.9 % for 16 and 32 bits, 1.0 and 1.3 % with a causal mask.
double cost(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  const RowThreads threads(problem, tuning);
  const int64_t row_threads = threads.block_threads * threads.cluster_size;
  const auto chunks = static_cast<double>((min_row_chunks(problem) + row_threads - 1) / row_threads);
  const double wanted =
      static_cast<double>(problem.as<SoftmaxShape>().rows() * row_threads) / static_cast<double>(device.cuda().num_sms);
  const double resident = 2900 / (4 + chunks);
  return (2.5 + chunks) * std::max(1.0, wanted / resident) + (row_threads > kWarpSize ? 1.6 : 0) +
         (threads.cluster_size > 1 ? 2.6 : 0) + (tuning["block"] > 512 ? 10 : 0);
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
      // Which thread has an element depends on the row's address, unless all rows are aligned to 16 bytes.
      if (!stride_aligned(problem)) return std::nullopt;
      return "row;" + to_string(tuning);
    },
};

}  // namespace metallic::softmax
