// SPDX-License-Identifier: Apache-2.0
// matmul cuda_gemv_tma: up to 16 columns on tensor cores; TMA reads the weights once. The warps of a block share K, and their
// sums are added in a fixed order.
#include <algorithm>

#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tensor_map.h"
#include "ops/matmul/cuda_gemv_tma.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

// {32, 1, 4} is within 3 % of the best for most weights of benchmarks/cuda_anchors.py; the others are for few or many rows.
constexpr Tuning kTunings[] = {{{{{"rows", 32}, {"split", 1}, {"stages", 4}}}}, {{{{"rows", 32}, {"split", 2}, {"stages", 4}}}},
                               {{{{"rows", 32}, {"split", 4}, {"stages", 4}}}}, {{{{"rows", 32}, {"split", 1}, {"stages", 3}}}},
                               {{{{"rows", 32}, {"split", 1}, {"stages", 8}}}}, {{{{"rows", 16}, {"split", 1}, {"stages", 4}}}},
                               {{{{"rows", 64}, {"split", 1}, {"stages", 4}}}}};

constexpr size_t kSmallRows = 5;
static_assert(kTunings[kSmallRows]["rows"] == 16);

constexpr int64_t kStaticSmem = 2048;  // bytes of a block's shared memory that hold no stages

int padded_columns(int64_t n) { return n <= 8 ? 8 : 16; }

// Dynamic shared memory: the pipeline's stages, and an accumulator tile per consumer warp.
int64_t smem_bytes(const Tuning& tuning, int64_t n) {
  const int64_t rows = tuning["rows"], columns = padded_columns(n);
  return tuning["stages"] * (rows + columns) * 2 * kGemvTmaStageK + 4 * kGemvTmaConsumerWarps * rows * columns;
}

cuda::TensorLayout weights_layout(const GemvShape& p, int64_t batch) { return {p.big, p.k, p.w_stride, batch, p.w_batch_stride}; }
cuda::TensorLayout columns_layout(const GemvShape& p, int64_t batch) { return {p.n, p.k, p.x_stride_n, batch, p.x_batch_stride}; }

const GemvTmaInstance* find_instance(const Problem& problem, int64_t rows) {
  return cuda::find_instance<GemvTmaInstance>({kGemvTmaF16, kGemvTmaBf16}, [&](const GemvTmaInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.rows == rows &&
           instance.columns == padded_columns(problem.as<MatmulShape>().small());
  });
}

class GemvTma final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<GemvTma>(new GemvTma(problem, tuning));
    // The limit belongs to the kernel, which plans of other tunings share, so it is the most that any needs.
    METALLIC_CHECK(
        cuda::set_kernel_limits(kernel->instance_->kernel, static_cast<size_t>(device.cuda().smem_per_block - kStaticSmem)));
    if (kernel->split_ == 1) {
      METALLIC_TRY(kernel->resident_blocks_, cuda::max_resident(kernel->instance_->kernel, kernel->launch_config(), device));
    }
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (batch_ == 0 || shape_.n == 0) return Code::ok;
    const void* w = args.in[weights_in_a_ ? 0 : 1];
    const void* x = args.in[weights_in_a_ ? 1 : 0];
    CUtensorMap w_map{}, x_map{};
    const bool maps_valid =
        shape_.k > 0 && cuda::make_tensor_map(w_map, w, weights_layout(shape_, batch_), static_cast<uint32_t>(instance_->rows)) &&
        cuda::make_tensor_map(x_map, x, columns_layout(shape_, batch_), static_cast<uint32_t>(instance_->columns));
    return cuda::launch_kernel(instance_->kernel, launch_config(), executor, w_map, x_map, shape_, w, x, args.out, split_,
                               stages_, maps_valid);
  }

 private:
  GemvTma(const Problem& problem, const Tuning& tuning)
      : instance_(find_instance(problem, tuning["rows"])),
        weights_in_a_(problem.as<MatmulShape>().weights_in_a()),
        batch_(problem.as<MatmulShape>().batch),
        split_(tuning["split"]),
        stages_(tuning["stages"]),
        shape_(problem.as<MatmulShape>()),
        smem_bytes_(static_cast<size_t>(smem_bytes(tuning, shape_.n))) {}

  // Persistent blocks: no more than are resident at once.
  cuda::LaunchConfig launch_config() const {
    const int64_t tiles = (shape_.big + instance_->rows - 1) / instance_->rows;
    const int64_t blocks =
        resident_blocks_ > 0 ? std::min<int64_t>(tiles, std::max<int64_t>(resident_blocks_ / batch_, 1)) : tiles;
    return {.grid = dim3(static_cast<unsigned>(blocks * split_), static_cast<unsigned>(batch_)),
            .block = kGemvTmaThreads,
            .smem_bytes = smem_bytes_,
            .cluster_size = static_cast<unsigned>(split_),
            .pdl = true};
  }

  const GemvTmaInstance* instance_;
  bool weights_in_a_;
  int64_t batch_, split_, stages_;
  GemvShape shape_;
  size_t smem_bytes_;
  unsigned resident_blocks_ = 0;  // without split-K
};

}  // namespace

extern const Variant cuda_gemv_tma = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = refuses_columns(problem, device)) return reason;
      if (device.cuda().sm_version < 90) return "needs TMA, i.e. compute capability 9.0";
      const MatmulShape& s = problem.as<MatmulShape>();
      const GemvShape p(s);
      if (problem.dtype == DType::f32 || !weights_along_k(s) || p.x_stride_k != 1)
        return "takes 16-bit operands whose rows lie along K";
      if (!cuda::fits_tensor_map(weights_layout(p, s.batch)) || !cuda::fits_tensor_map(columns_layout(p, s.batch)))
        return "takes rows that begin at multiples of 16 bytes";
      if (smem_bytes(tuning, s.small()) > device.cuda().smem_per_block - kStaticSmem) return "a block has less shared memory";
      return std::nullopt;
    },
    // Fitted to 106 shapes timed on an H200: 1.5 % slower than the best tuning of each.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const MatmulShape& s = problem.as<MatmulShape>();
      const int64_t blocks = s.batch * ((s.big() + 31) / 32);
      if (s.k < 4 * kGemvTmaStageK)
        return kTunings[2 * blocks <= device.cuda().num_sms / 2 ? kSmallRows : 0];  // split-K does not pay
      return kTunings[2 * blocks >= device.cuda().num_sms                               ? 0
                      : 4 * blocks >= device.cuda().num_sms || s.k < 8 * kGemvTmaStageK ? 1
                                                                                        : 2];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return GemvTma::make(problem, tuning, device); },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "tma;" + to_string(tuning) + ";" + device.isa();
    },
};

}  // namespace metallic::matmul
