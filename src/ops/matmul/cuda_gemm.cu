// SPDX-License-Identifier: Apache-2.0
// matmul cuda_gemm: tiles of C by tensor cores (f32: by fma), from operands of any size, storage order and alignment. K is summed
// in rising order, by each block of a split-K cluster; the sums of the blocks are added in rank order. The order does not depend
// on M and N, so neither do a row's bits.
#include <algorithm>

#include "base/math.h"
#include "ops/cuda/device.h"
#include "ops/cuda/instances.h"
#include "ops/cuda/launch.cuh"
#include "ops/matmul/contract.h"
#include "ops/matmul/cuda_gemm.h"
#include "ops/matmul/shape.h"
#include "ops/matmul/split_k.h"
#include "ops/variant.h"

namespace metallic::matmul {
namespace {

// `tile`: rows of C of a block. Tiles of 16 rows have 32 columns, others are square. `split`: blocks that share the K of a tile.
constexpr Tuning kTunings[] = {
    {{{{"split", 1}, {"tile", 16}}}}, {{{{"split", 2}, {"tile", 16}}}}, {{{{"split", 4}, {"tile", 16}}}},
    {{{{"split", 8}, {"tile", 16}}}}, {{{{"split", 1}, {"tile", 64}}}}, {{{{"split", 2}, {"tile", 64}}}},
    {{{{"split", 4}, {"tile", 64}}}}, {{{{"split", 8}, {"tile", 64}}}}, {{{{"split", 1}, {"tile", 128}}}}};

// Tiles of 16 compute Cᵀ if C has fewer columns than rows: the columns become the tile's rows. Products and sums are the same,
// bit for bit.
bool is_transposed(const MatmulShape& s, const Tuning& tuning) { return tuning["tile"] == 16 && s.n < s.m; }

const GemmInstance* find_instance(const Problem& problem, int64_t tile, bool a_along_k, bool b_along_k) {
  return cuda::find_instance<GemmInstance>(
      {kGemmF16F16, kGemmF16F32, kGemmBf16Bf16, kGemmBf16F32, kGemmF32F32, kGemmF32F16, kGemmF32Bf16},
      [&](const GemmInstance& instance) {
        return instance.dtype == problem.dtype && instance.out_dtype == problem.out_dtype && instance.tile == tile &&
               instance.a_along_k == a_along_k && instance.b_along_k == b_along_k;
      });
}

class Gemm final : public Kernel {
 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Gemm>(new Gemm(problem, tuning, device));
    METALLIC_CHECK(cuda::set_kernel_limits(kernel->instance_->kernel, kernel->instance_->smem_bytes));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    const void *a = args.in[0], *b = args.in[1];
    if (transposed_) std::swap(a, b);
    const cuda::LaunchConfig launch = {
        .grid = dim3(static_cast<unsigned>(ceil_div(shape_.n, instance_->block_n) * split_),
                     static_cast<unsigned>(ceil_div(shape_.m, instance_->block_m)), static_cast<unsigned>(batch_)),
        .block = static_cast<unsigned>(instance_->threads),
        .smem_bytes = instance_->smem_bytes,
        .cluster_size = static_cast<unsigned>(split_),
        .pdl = pdl_};
    const size_t size = size_of(instance_->dtype);
    return cuda::launch_kernel(instance_->kernel, launch, executor, shape_, a, b, args.out,
                               max_copy_bytes(a, size, shape_.a, batch_), max_copy_bytes(b, size, shape_.b, batch_), split_);
  }

 private:
  Gemm(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : split_(tuning["split"]),
        transposed_(is_transposed(problem.as<MatmulShape>(), tuning)),
        pdl_(cuda::supports_pdl(device)),
        batch_(problem.as<MatmulShape>().batch),
        shape_(problem.as<MatmulShape>()) {
    const MatmulShape& s = problem.as<MatmulShape>();
    // A contiguous row or column is K-major whatever its label says, and its stride is arbitrary.
    const bool row = s.ta && s.m == 1 && s.lda == 1, column = !s.tb && s.n == 1 && s.ldb == 1;
    bool a_along_k = !s.ta || row, b_along_k = s.tb || column;
    if (row) shape_.a.stride = (s.k + 7) / 8 * 8;
    if (column) shape_.b.stride = (s.k + 7) / 8 * 8;
    if (transposed_) {
      std::swap(a_along_k, b_along_k);
      shape_ = shape_.transposed();
    }
    instance_ = find_instance(problem, tuning["tile"], a_along_k, b_along_k);
  }

  int64_t split_;
  bool transposed_, pdl_;
  int64_t batch_;
  GemmShape shape_;
  const GemmInstance* instance_;
};

int64_t num_k_steps(const Problem& problem) { return ceil_div(problem.as<MatmulShape>().k, block_k(problem.dtype)); }

int64_t num_tiles(const Problem& problem, const Tuning& tuning) {
  const MatmulShape& s = problem.as<MatmulShape>();
  const int64_t tile = tuning["tile"];
  return s.batch * (tile == 16 ? ceil_div(s.small(), 16) * ceil_div(s.big(), 32) : ceil_div(s.m, tile) * ceil_div(s.n, tile));
}

// Parameters of `cost`, in K steps of the smallest tile.
struct Costs {
  double step[3];       // one K step of tiles of 16, 64, 128 rows
  double resident[3];   // blocks of a multiprocessor that do not slow each other
  double prologue[2];   // before the first step; [1]: if all rows are aligned to 16 bytes, where steps are short
  double reduction[2];  // of split-K
};
constexpr Costs kCosts = {{1, 1.47, 3.62}, {1.91, 1.08, 0.83}, {0.33, 7.86}, {2.19, 6.98}};
constexpr Costs kFloatCosts = {{1, 1.64}, {1.68, 0.67}, {1.4, 2.54}, {2.97, 2.07}};

// The predicted time of a tuning: that of a block, times the waves of blocks. The parameters minimize the loss against the best
// tuning of each of 1222 shapes timed on an H100 in bf16 and f32: 1.7 and 2.7 %.
double cost(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  const MatmulShape& s = problem.as<MatmulShape>();
  const Costs& costs = problem.dtype == DType::f32 ? kFloatCosts : kCosts;
  const int64_t split = tuning["split"], chunk_elements = 16 / static_cast<int64_t>(size_of(problem.dtype));
  const int tile = tuning["tile"] == 16 ? 0 : tuning["tile"] == 64 ? 1 : 2, aligned = s.rows_begin_evenly(chunk_elements);
  const double steps = static_cast<double>(ceil_div(num_k_steps(problem), split)) + costs.prologue[aligned];
  const double blocks = static_cast<double>(split * num_tiles(problem, tuning));
  return costs.step[tile] * steps * std::max(1.0, blocks / (static_cast<double>(device.cuda().num_sms) * costs.resident[tile])) +
         (split > 1 ? costs.reduction[aligned] : 0);
}

const Tuning& default_tuning(const Problem& problem, const DeviceInfo& device) {
  const Tuning* best = nullptr;
  double least = 0;
  for (const Tuning& tuning : kTunings) {
    if (problem.dtype == DType::f32 && tuning["tile"] > 64) continue;
    if (refuses_split_k(tuning["split"], num_k_steps(problem), num_tiles(problem, tuning), device)) continue;
    if (const double own = cost(problem, tuning, device); !best || own < least) best = &tuning, least = own;
  }
  return *best;
}

}  // namespace

extern const Variant cuda_gemm = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(device)) return reason;
      const MatmulShape& s = problem.as<MatmulShape>();
      if (auto reason = refuses_packed(problem)) return reason;
      if (problem.dtype == DType::f32 && tuning["tile"] > 64) return "f32 has tiles of up to 64 rows";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      const bool transposed = is_transposed(s, tuning);
      if ((transposed ? s.n : s.m) > 65535 * tuning["tile"]) return "more rows than a grid has blocks";
      if ((transposed ? s.m : s.n) > (int64_t{1} << 36) - 32) return "more columns than a grid has blocks";
      return refuses_split_k(tuning["split"], num_k_steps(problem), num_tiles(problem, tuning), device);
    },
    .prefer = default_tuning,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Gemm::make(problem, tuning, device); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (problem.dtype == DType::f32 ? "rising;" : "rising_mma;") + split_k_order(tuning["split"]) + device.isa();
    },
};

}  // namespace metallic::matmul
