// SPDX-License-Identifier: Apache-2.0
// matmul cuda_gemv: up to 16 columns, weights read once. The warps of a block, and the blocks of a split-K cluster, share the K
// of a few rows of weights, and their sums are added in a fixed order.
#include <algorithm>

#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/matmul/cuda_gemv.h"
#include "ops/matmul/shape.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

// `rows`: rows of weights of a block, `split`: blocks that share their K, `stages`: of each warp's pipeline. Without tensor cores
// only tunings with rows = 16 and stages = 2 are used.
constexpr Tuning kTunings[] = {
    {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 4}}}},  {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 16}}}}, {{{{"rows", 16}, {"split", 2}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 4}, {"stages", 2}, {"warps", 8}}}},  {{{{"rows", 16}, {"split", 8}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 1}, {"stages", 4}, {"warps", 16}}}}, {{{{"rows", 16}, {"split", 2}, {"stages", 4}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 4}, {"stages", 4}, {"warps", 8}}}},  {{{{"rows", 32}, {"split", 1}, {"stages", 4}, {"warps", 4}}}},
    {{{{"rows", 32}, {"split", 1}, {"stages", 4}, {"warps", 8}}}}};

// Whether the strides allow mma: K-major 16-bit weights whose rows are aligned to 16 bytes if the tensor is.
bool mma_eligible(const Problem& problem) {
  const MatmulShape& s = problem.as<MatmulShape>();
  const GemvShape p(s);
  return problem.dtype != DType::f32 && weights_along_k(s) && p.w_stride % 8 == 0 && (s.batch == 1 || p.w_batch_stride % 8 == 0);
}

// The columns of the dot and axpy kernel that computes n.
int columns_for(int64_t n) { return n == 1 ? 1 : n <= 4 ? 4 : n <= 8 ? 8 : 16; }

const GemvInstance* find_mma_instance(const Problem& problem, const Tuning& tuning) {
  return cuda::find_instance<GemvInstance>({kGemvF16, kGemvBf16}, [&](const GemvInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.method == GemvMethod::mma &&
           instance.rows == tuning["rows"] && instance.stages == tuning["stages"] &&
           instance.columns == (problem.as<MatmulShape>().small() <= 8 ? 8 : 16);
  });
}

const GemvInstance* find_fma_instance(const Problem& problem) {
  const GemvMethod method = weights_along_k(problem.as<MatmulShape>()) ? GemvMethod::dot : GemvMethod::axpy;
  return cuda::find_instance<GemvInstance>({kGemvF16, kGemvBf16, kGemvF32}, [&](const GemvInstance& instance) {
    return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.method == method &&
           instance.columns == columns_for(problem.as<MatmulShape>().small());
  });
}

class Gemv final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Gemv>(new Gemv(problem, tuning, device));
    // The limit belongs to the kernel, which plans of other tunings share, so it is the most that any needs.
    for (const GemvInstance* k : {kernel->aligned_, kernel->unaligned_})
      METALLIC_CHECK(cuda::set_kernel_limits(k->kernel, static_cast<size_t>(device.cuda().smem_per_block)));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (batch_ == 0 || shape_.n == 0) return Code::ok;
    const void* w = args.in[weights_in_a_ ? 0 : 1];
    const void* x = args.in[weights_in_a_ ? 1 : 0];
    const GemvInstance& k = reinterpret_cast<uintptr_t>(w) % 16 == 0 ? *aligned_ : *unaligned_;
    const int64_t tiles = (shape_.big + k.rows - 1) / k.rows;
    const cuda::LaunchConfig launch = {
        .grid = dim3(static_cast<unsigned>(tiles * split_), static_cast<unsigned>(batch_)),
        .block = static_cast<unsigned>(kWarpSize * warps_),
        .smem_bytes = static_cast<size_t>(warps_ * std::max<int64_t>(k.pipeline_bytes, 4 * k.rows * k.columns)),
        .cluster_size = static_cast<unsigned>(split_),
        .pdl = pdl_};
    return cuda::launch_kernel(k.kernel, launch, executor, shape_, w, x, args.out, split_);
  }

 private:
  Gemv(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : unaligned_(find_fma_instance(problem)),
        aligned_(mma_eligible(problem) ? find_mma_instance(problem, tuning) : unaligned_),
        weights_in_a_(problem.as<MatmulShape>().weights_in_a()),
        pdl_(cuda::supports_pdl(device)),
        batch_(problem.as<MatmulShape>().batch),
        split_(tuning["split"]),
        warps_(tuning["warps"]),
        shape_(problem.as<MatmulShape>()) {}

  const GemvInstance *unaligned_, *aligned_;  // for weights at any address, and at multiples of 16 bytes
  bool weights_in_a_, pdl_;
  int64_t batch_, split_, warps_;
  GemvShape shape_;
};

const Tuning& find_tuning(int64_t rows, int64_t split, int64_t warps, int64_t stages) {
  for (const Tuning& tuning : kTunings)
    if (tuning["rows"] == rows && tuning["split"] == split && tuning["warps"] == warps && tuning["stages"] == stages)
      return tuning;
  return kTunings[0];
}

const Tuning& default_tuning(const Problem& problem, const DeviceInfo& device) {
  const MatmulShape& s = problem.as<MatmulShape>();
  const bool mma = mma_eligible(problem), clusters = device.cuda().sm_version >= 90;
  const int64_t rows = mma ? 16 : weights_along_k(s) ? 4 : 4 * kWarpSize, tiles = s.batch * ((s.big() + rows - 1) / rows);
  if (weights_along_k(s) && !mma) {
    // As many warps for a tile as K has steps, or as fit eight blocks per SM. On 1022 shapes timed on an H200, 3.5 % slower than
    // the best tuning of each; most of the loss is on shapes that tensor cores take too.
    const int64_t wanted =
        std::min((s.k + kWarpSize * 4 - 1) / (kWarpSize * 4), device.cuda().num_sms * 8 / std::max<int64_t>(tiles, 1));
    if (wanted <= 16 || !clusters) return find_tuning(16, 1, wanted <= 4 ? 4 : wanted <= 8 ? 8 : 16, 2);
    return find_tuning(16, wanted <= 32 ? 4 : 8, 8, 2);
  }
  // Split-K for two blocks per SM if there are few rows. Axpy needs more blocks.
  const int64_t split = !clusters || tiles >= device.cuda().num_sms ? 1
                        : 2 * tiles >= device.cuda().num_sms        ? 2
                        : mma || 4 * tiles >= device.cuda().num_sms ? 4
                                                                    : 8;
  return find_tuning(mma && split == 1 ? 32 : 16, split, 8, mma ? 4 : 2);
}

}  // namespace

extern const Variant cuda_gemv = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = refuses_columns(problem, device)) return reason;
      if (tuning["split"] > 1 && device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
      if (mma_eligible(problem)) {
        const int64_t stage_bytes = gemv_mma_stage_bytes(tuning["rows"], problem.as<MatmulShape>().small() <= 8 ? 8 : 16);
        if (tuning["warps"] * tuning["stages"] * stage_bytes > device.cuda().smem_per_block)
          return "a block has less shared memory";
      } else {
        if (tuning["rows"] != 16 || tuning["stages"] != 2) return "only for tensor cores";
        const int64_t rows = weights_along_k(problem.as<MatmulShape>()) ? 4 : 4 * kWarpSize,
                      columns = columns_for(problem.as<MatmulShape>().small());
        if (tuning["warps"] * rows * columns * 4 > device.cuda().smem_per_block) return "a block has less shared memory";
      }
      return std::nullopt;
    },
    .prefer = default_tuning,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Gemv::make(problem, tuning, device); },
    // The order depends on whether the operands' addresses allow tensor cores.
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (mma_eligible(problem)                        ? "mma;"
              : weights_along_k(problem.as<MatmulShape>()) ? "dot;"
                                                           : "scaled_rows;") +
             to_string(tuning) + ";" + device.isa();
    },
};

}  // namespace metallic::matmul
