// SPDX-License-Identifier: Apache-2.0
// softmax cuda_block: a row in the shared memory of a block, which loads the next rows meanwhile. If there are few rows, two
// launches share each among segments. What does not fit in shared memory is read twice.
#include <fmt/format.h>

#include <algorithm>

#include "ops/cuda/device.h"
#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/softmax/cuda_block.h"
#include "ops/softmax/shape.h"
#include "ops/variant.h"

namespace metallic::softmax {
namespace {

constexpr int64_t kStaticSmem = 1024;  // bytes of a block's shared memory that hold no stages

// `segments`: of a row; 0: a row is of one block. `fixed`: see RowAlignment.
constexpr Tuning kTunings[] = {{{{{"fixed", 1}, {"threads", 256}}}},
                               {{{{"segments", 8}, {"threads", 256}}}},
                               {{{{"segments", 32}, {"threads", 256}}}},
                               {{{{"segments", 128}, {"threads", 256}}}},
                               {{{{"threads", 512}}}}};

const BlockInstance* find_instance(const Problem& problem, RowAlignment alignment) {
  return cuda::find_instance<BlockInstance>({kBlockF16, kBlockBf16, kBlockF32}, [&](const BlockInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.alignment == alignment;
  });
}

const SegmentInstance* find_segment_instance(const Problem& problem) {
  return cuda::find_instance<SegmentInstance>({kSegmentF16, kSegmentBf16, kSegmentF32}, [&](const SegmentInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype;
  });
}

class Block final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Block>(new Block(problem, tuning, device));
    // The limit belongs to the kernel, which other plans share, so it is the most that any problem needs.
    const auto most = static_cast<size_t>(device.cuda().smem_per_block - kStaticSmem);
    for (const RowAlignment alignment : {RowAlignment::aligned, RowAlignment::any, RowAlignment::fixed}) {
      const BlockInstance*& instance = kernel->instances_[static_cast<int>(alignment)];
      instance = find_instance(problem, alignment);
      METALLIC_CHECK(cuda::set_kernel_limits(instance->kernel, most));
      METALLIC_TRY(kernel->resident_blocks_[static_cast<int>(alignment)],
                   cuda::max_resident(instance->kernel, kernel->launch_, device));
    }
    return kernel;
  }

  size_t workspace() const override { return static_cast<size_t>(rows_.rows) * segments_ * sizeof(cuda::MaxSum); }

  Code run(const Args& args, std::byte* workspace, Executor& executor) const override {
    if (rows_.rows == 0 || rows_.seq_k == 0) return Code::ok;
    if (segments_ > 0) return run_segments(args, reinterpret_cast<cuda::MaxSum*>(workspace), executor);
    const RowAlignment alignment = rows_aligned(problem_, args) ? RowAlignment::aligned
                                   : fixed_                     ? RowAlignment::fixed
                                                                : RowAlignment::any;
    cuda::LaunchConfig launch = launch_;
    launch.grid.x = std::min(launch.grid.x, resident_blocks_[static_cast<int>(alignment)]);
    return cuda::launch_kernel(instances_[static_cast<int>(alignment)]->kernel, launch, executor, rows_, args.in[0], args.out,
                               alignment == RowAlignment::aligned ? chunks_ : chunks_unaligned_, stage_chunks_);
  }

 private:
  Block(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : problem_(problem),
        fixed_(tuning["fixed"] == 1),
        rows_(problem.as<SoftmaxShape>()),
        segment_instance_(find_segment_instance(problem)) {
    segments_ = static_cast<unsigned>(tuning["segments"]);
    launch_.block = static_cast<unsigned>(tuning["threads"]);
    launch_.grid = dim3(static_cast<unsigned>(rows_.rows));
    launch_.pdl = cuda::supports_pdl(device);
    const int64_t slices = std::max<int64_t>(segments_, 1);
    chunks_ = static_cast<int>((min_row_chunks(problem) + slices - 1) / slices);
    chunks_unaligned_ = static_cast<int>((max_row_chunks(problem) + slices - 1) / slices);
    stage_chunks_ =
        std::min(chunks_unaligned_, static_cast<int>((device.cuda().smem_per_block - kStaticSmem) / 16 / kBlockStages));
    launch_.smem_bytes = static_cast<size_t>(kBlockStages * stage_chunks_) * 16;
  }

  Code run_segments(const Args& args, cuda::MaxSum* pairs, Executor& executor) const {
    const int chunks = rows_aligned(problem_, args) ? chunks_ : chunks_unaligned_;
    const cuda::LaunchConfig launch{
        .grid = dim3(static_cast<unsigned>(rows_.rows) * segments_), .block = launch_.block, .pdl = launch_.pdl};
    if (const Code code =
            cuda::launch_kernel(segment_instance_->reduce, launch, executor, rows_, args.in[0], pairs, chunks, segments_);
        code != Code::ok)
      return code;
    return cuda::launch_kernel(segment_instance_->normalize, launch, executor, rows_, args.in[0], args.out, pairs, chunks,
                               segments_);
  }

  Problem problem_;
  bool fixed_;
  unsigned segments_;
  SoftmaxRows rows_;
  int chunks_, chunks_unaligned_;  // of a row or segment, if rows are aligned, and otherwise
  int stage_chunks_;
  cuda::LaunchConfig launch_;
  const SegmentInstance* segment_instance_;
  const BlockInstance* instances_[kRowAlignments] = {};
  unsigned resident_blocks_[kRowAlignments] = {};
};

}  // namespace

extern const Variant cuda_block = {
    .family = "block",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      const SoftmaxShape& s = problem.as<SoftmaxShape>();
      if (s.rows() > kMaxRows) return "more blocks than a grid has";
      if (s.rows() * tuning["segments"] > 8 * device.cuda().num_sms) return "segments are for few rows";
      if (s.seq_k > kMaxSliceElements * std::max<int64_t>(tuning["segments"], 1)) return "parts of rows are too long";
      return std::nullopt;
    },
    // For few rows, as many segments as there are SMs for them.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const Tuning* best = &kTunings[std::size(kTunings) - 1];
      for (const Tuning& tuning : kTunings)
        if (tuning["segments"] > 0 && problem.as<SoftmaxShape>().rows() * tuning["segments"] <= device.cuda().num_sms &&
            16 * max_row_chunks(problem) / tuning["segments"] >= 4 << 10)
          best = &tuning;
      return *best;
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Block::make(problem, tuning, device); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo&) -> std::optional<std::string> {
      // Which thread has an element depends on the row's address, unless all rows are aligned to 16 bytes.
      if (!stride_aligned(problem) && tuning["fixed"] == 0) return std::nullopt;
      return fmt::format("row;segments={};threads={}", tuning["segments"], tuning["threads"]);
    },
};

}  // namespace metallic::softmax
