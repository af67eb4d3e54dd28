// SPDX-License-Identifier: Apache-2.0
// matmul cuda_wgmma: tiles of C by Hopper's wgmma, from K-major 16-bit operands: by TMA if rows are aligned to 16 bytes, else by
// cp.async. K is summed in rising order, by each block of a split-K cluster.
#include <algorithm>

#include "base/math.h"
#include "ops/cuda/device.h"
#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tensor_map.h"
#include "ops/matmul/contract.h"
#include "ops/matmul/cuda_wgmma.h"
#include "ops/matmul/shape.h"
#include "ops/matmul/split_k.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

// `rows` × `columns`: the tile of C of a block. Reads from L2 bound it: 85 operations per byte for 256 × 128, 64 for 128 × 128.
// Narrow tiles are for C with few columns, or few rows: then they compute Cᵀ. `split`: blocks that share the K of a tile.
constexpr Tuning point(int64_t rows, int64_t columns, int64_t split) {
  return {{{{"columns", columns}, {"rows", rows}, {"split", split}}}};
}
constexpr Tuning kTunings[] = {point(128, 32, 1), point(128, 32, 2), point(128, 32, 4),  point(128, 32, 8),  point(128, 64, 1),
                               point(128, 64, 2), point(128, 64, 4), point(128, 128, 1), point(128, 128, 2), point(256, 128, 1)};

bool is_transposed(const MatmulShape& s, const Tuning& tuning) { return tuning["columns"] < 128 && s.m < s.n; }

int64_t num_k_steps(const MatmulShape& s) { return ceil_div(s.k, block_k(DType::f16)); }

int64_t num_tiles(const MatmulShape& s, const Tuning& tuning) {
  const bool transposed = is_transposed(s, tuning);
  return s.batch * ceil_div(transposed ? s.n : s.m, tuning["rows"]) * ceil_div(transposed ? s.m : s.n, tuning["columns"]);
}

const WgmmaInstance* find_instance(const Problem& problem, const Tuning& tuning) {
  return cuda::find_instance<WgmmaInstance>({kWgmmaF16F16, kWgmmaF16F32, kWgmmaBf16Bf16, kWgmmaBf16F32},
                                            [&](const WgmmaInstance& instance) {
                                              return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype &&
                                                     instance.block_m == tuning["rows"] && instance.block_n == tuning["columns"];
                                            });
}

class Wgmma final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Wgmma>(new Wgmma(problem, tuning, device));
    const WgmmaInstance& k = *kernel->instance_;
    METALLIC_CHECK(cuda::set_kernel_limits(k.cp_async, static_cast<size_t>(k.stages) * k.stage_bytes));
    METALLIC_CHECK(cuda::set_kernel_limits(k.tma, static_cast<size_t>(k.max_stages) * k.stage_bytes));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    const void *const a = args.in[transposed_ ? 1 : 0], *const b = args.in[transposed_ ? 0 : 1];
    CUtensorMap map_a, map_b;
    const bool use_tma = shape_.k > 0 &&
                         cuda::make_tensor_map(map_a, a, tensor_layout(shape_.a), static_cast<uint32_t>(instance_->block_m)) &&
                         cuda::make_tensor_map(map_b, b, tensor_layout(shape_.b), static_cast<uint32_t>(instance_->block_n));
    const int stages = use_tma && !many_blocks_ ? instance_->max_stages : instance_->stages;
    const cuda::LaunchConfig launch{
        .grid = dim3(static_cast<unsigned>(ceil_div(shape_.n, instance_->block_n) * split_),
                     static_cast<unsigned>(ceil_div(shape_.m, instance_->block_m)), static_cast<unsigned>(batch_)),
        .block = static_cast<unsigned>(use_tma ? instance_->tma_threads : instance_->cp_async_threads),
        .smem_bytes = static_cast<size_t>(stages) * instance_->stage_bytes,
        .cluster_size = static_cast<unsigned>(split_),
        .pdl = true};
    if (use_tma) return cuda::launch_kernel(instance_->tma, launch, executor, map_a, map_b, shape_, args.out, split_, stages);
    const size_t size = size_of(instance_->dtype);
    return cuda::launch_kernel(instance_->cp_async, launch, executor, shape_, a, b, args.out,
                               max_copy_bytes(a, size, shape_.a, batch_), max_copy_bytes(b, size, shape_.b, batch_), split_);
  }

 private:
  Wgmma(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : instance_(find_instance(problem, tuning)),
        split_(tuning["split"]),
        transposed_(is_transposed(problem.as<MatmulShape>(), tuning)),
        many_blocks_(num_tiles(problem.as<MatmulShape>(), tuning) * split_ >
                     device.cuda().num_sms / (instance_->block_n == 32 ? 2 : 1)),
        batch_(problem.as<MatmulShape>().batch),
        shape_(transposed_ ? GemmShape(problem.as<MatmulShape>()).transposed() : GemmShape(problem.as<MatmulShape>())) {}

  cuda::TensorLayout tensor_layout(const GemmOperand& operand) const {
    return {operand.rows, shape_.k, operand.stride, batch_, operand.batch_stride};
  }

  const WgmmaInstance* instance_;
  int64_t split_;
  bool transposed_;
  bool many_blocks_;  // too many for one per SM, so that stages must leave shared memory for a second
  int64_t batch_;
  GemmShape shape_;
};

std::optional<std::string> refuses_split(const MatmulShape& s, const Tuning& tuning, const DeviceInfo& device) {
  return refuses_split_k(tuning["split"], num_k_steps(s), num_tiles(s, tuning), device);
}

// The predicted time of a tuning, in K steps of a 128 × 128 tile: that of a block, times the waves of blocks. TMA's steps are
// short, so split-K pays late with it. Fitted to 619 shapes timed on an H100: 1.3 % slower than the best tuning of each.
double cost(const MatmulShape& s, const Tuning& tuning, const DeviceInfo& device) {
  const int64_t split = tuning["split"], columns = tuning["columns"];
  const bool large = tuning["rows"] == 256, tma = s.rows_begin_evenly(8);
  const double step = large ? 3.33 : columns == 128 ? 1 : columns == 64 ? 0.89 : 0.73;
  const double resident = large ? 1 : columns == 128 ? 0.69 : columns == 64 ? 0.88 : 0.78;
  const double steps = static_cast<double>(ceil_div(num_k_steps(s), split)) + (tma ? 58.65 : 0.97);
  const double load = static_cast<double>(split * num_tiles(s, tuning)) / (static_cast<double>(device.cuda().num_sms) * resident);
  return step * steps * std::max(1.0, load) + (split == 1 ? 0 : tma ? 1.63 : 0.7);
}

}  // namespace

extern const Variant cuda_wgmma = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      if (device.cuda().sm_version != 90) return "needs the tensor cores of compute capability 9.0";
#ifndef METALLIC_WITH_SM_90A
      return "this build has no code for 9.0a";
#endif
      if (auto reason = refuses_packed(problem)) return reason;
      const MatmulShape& s = problem.as<MatmulShape>();
      if (problem.dtype == DType::f32) return "takes 16-bit operands";
      if (s.ta || !s.tb) return "takes operands whose rows lie along K";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      const bool transposed = is_transposed(s, tuning);
      if ((transposed ? s.n : s.m) > 65535 * tuning["rows"]) return "more rows than a grid has blocks";
      if ((transposed ? s.m : s.n) > int64_t{1} << 35) return "more columns than a grid has blocks";
      return refuses_split(s, tuning, device);
    },
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const MatmulShape& s = problem.as<MatmulShape>();
      const Tuning* best = nullptr;
      for (const Tuning& tuning : kTunings)
        if (!refuses_split(s, tuning, device) && (!best || cost(s, tuning, device) < cost(s, *best, device))) best = &tuning;
      return *best;
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Wgmma::make(problem, tuning, device); },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "rising_wgmma;" + split_k_order(tuning["split"]) + device.isa();
    },
};

}  // namespace metallic::matmul
