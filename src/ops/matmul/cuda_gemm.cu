// matmul cuda_gemm: tiles of C by tensor cores (f32: by multiply-adds), operands of any size, order and place through shared
// memory; K is summed in rising order, by each of the blocks that share it, whatever M and N are: a result does not depend on
// what is beside it.
#include <algorithm>
#include <span>

#include "ops/variant.h"
#include "ops/cuda/device.h"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/matmul/contract.h"
#include "ops/matmul/cluster_split_k.cuh"
#include "ops/matmul/tiles.cuh"

namespace metallic::matmul {
namespace {
using cuda::Grid;
using cuda::multiply_add;

// Threads of their own copy tiles where there are such, so that a step lasts as long as its products and not the sum of both;
// else those that compute.
template <typename Tiling, typename T, bool kAAlongK, bool kBAlongK>
using TilesOf =
    Tiles<T, Tiling::kM, kAAlongK, Tiling::kN, kBAlongK, Tiling::kStages, Tiling::kCopyThreads == 0 ? 0 : Tiling::kComputeThreads,
          Tiling::kCopyThreads == 0 ? Tiling::kComputeThreads : Tiling::kCopyThreads>;

// Calls multiply(step) for each of `steps`, when its tiles are there, on the threads that compute.
template <typename Tiling, typename Tiles, typename Multiply>
__device__ void go_through(Tiles& tiles, int steps, const Multiply& multiply) {
  constexpr int kAhead = Tiling::kStages - 1;
  const auto copy = [&](const auto& then) {
    tiles.begin();
    for (int step = 0; step < kAhead; ++step) tiles.start(step);
    for (int step = 0; step < steps; ++step) {
      cuda::wait_for_copies<kAhead - 1>();
      __syncthreads();  // the tiles of this step are there, and those of the step before are free
      tiles.start(step + kAhead);
      then(step);
    }
  };
  if constexpr (Tiling::kCopyThreads == 0) {
    copy(multiply);
  } else if (threadIdx.x >= Tiling::kComputeThreads) {
    copy([](int) {});
  } else {
    for (int step = 0; step < steps; ++step) {
      __syncthreads();
      multiply(step);
    }
  }
}

// ---- 16-bit types ----

// A block has kM × kN of C, its warps an equal part each; kStages tiles of the operands are on their way or in use: as many as
// two blocks of a multiprocessor have shared memory for, or for few rows as what is on its way must cover a trip to memory.
template <int kRows, int kColumns, int kAcrossM, int kAcrossN, int kOnTheirWay, int kCopying, int kBlocks>
struct MmaTiling {
  static constexpr int kAtOnce = kBlocks;  // on a multiprocessor, which registers are left for
  static constexpr int kM = kRows, kN = kColumns, kWarpsN = kAcrossN, kStages = kOnTheirWay, kCopyThreads = kCopying;
  static constexpr int kWarpM = kM / kAcrossM, kWarpN = kN / kAcrossN;
  static constexpr int kComputeThreads = 32 * kAcrossM * kAcrossN, kThreads = kComputeThreads + kCopyThreads;
  static constexpr size_t kBytes = size_t{2} * kStages * (kM + kN) * kDepth<__half>;
};
using Mma16 = MmaTiling<16, 32, 1, 2, 8, 128, 4>;
using Mma64 = MmaTiling<64, 64, 2, 2, 4, 128, 2>;
using Mma128 = MmaTiling<128, 128, 2, 2, 3, 0, 2>;

template <typename Tiling, typename In, typename Out, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Tiling::kThreads, Tiling::kAtOnce)
    mma_tiles(const Shape s, const In* a, const In* b, Out* c, const int width_a, const int width_b, const unsigned split) {
  static_assert(TileOfSums<Tiling::kM, Tiling::kN>::kBytes <= Tiling::kBytes);
  constexpr int kOfM = Tiling::kWarpM / 16, kOfN = Tiling::kWarpN / 8;
  using Of = TilesOf<Tiling, In, kAAlongK, kBAlongK>;
  cuda::after_earlier();
  extern __shared__ __align__(16) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{Tiling::kM} * blockIdx.y, first_n = int64_t{Tiling::kN} * (blockIdx.x / split);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_m = warp / Tiling::kWarpsN * Tiling::kWarpM, warp_n = warp % Tiling::kWarpsN * Tiling::kWarpN;
  const Steps steps = steps_of<In>(s, split);
  Of tiles(s, steps, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[kOfM][kOfN][4] = {};
  go_through<Tiling>(tiles, steps.count, [&](int step) {
    const In *const tile_a = tiles.a(step), *const tile_b = tiles.b(step);
#pragma unroll
    for (int k = 0; k < kDepth<In>; k += 16) {
      unsigned of_a[kOfM][4], of_b[kOfN / 2][4];
#pragma unroll
      for (int i = 0; i < kOfM; ++i) Of::A::fragments(of_a[i], tile_a, warp_m + 16 * i, k);
#pragma unroll
      for (int j = 0; j < kOfN / 2; ++j) Of::B::fragments(of_b[j], tile_b, warp_n + 16 * j, k);
#pragma unroll
      for (int i = 0; i < kOfM; ++i)
#pragma unroll
        for (int j = 0; j < kOfN; ++j)
          multiply_add<In>(sums[i][j], of_a[i][0], of_a[i][1], of_a[i][2], of_a[i][3], of_b[j / 2][j % 2],
                           of_b[j / 2][j % 2 + 2]);
    }
  });
  const auto for_pairs = [&](const auto& each) {
    if (threadIdx.x >= Tiling::kComputeThreads) return;
#pragma unroll
    for (int i = 0; i < kOfM; ++i)
#pragma unroll
      for (int j = 0; j < kOfN; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          each(warp_m + 16 * i + lane / 4 + 8 * half, warp_n + 8 * j + lane % 4 * 2, sums[i][j][2 * half],
               sums[i][j][2 * half + 1]);
  };
  store_tile<Tiling::kM, Tiling::kN>(s, c, first_m, first_n, split, memory, for_pairs);
}

// ---- f32 ----

// A thread has kEachM × kEachN of a block's kM × kN, as far apart as there are threads that way.
template <int kRows, int kColumns, int kOfThreadM, int kOfThreadN, int kOnTheirWay, int kCopying, int kBlocks>
struct FloatTiling {
  static constexpr int kAtOnce = kBlocks;
  static constexpr int kM = kRows, kN = kColumns, kEachM = kOfThreadM, kEachN = kOfThreadN, kStages = kOnTheirWay;
  static constexpr int kAcrossM = kM / kEachM, kAcrossN = kN / kEachN, kComputeThreads = kAcrossM * kAcrossN;
  static constexpr int kCopyThreads = kCopying, kThreads = kComputeThreads + kCopyThreads;
  static constexpr size_t kBytes = sizeof(float) * kStages * (kM + kN) * kDepth<float>;
};
// With registers for a fourth block of tiles of 16 steps take 1.3 times as long.
using Float16 = FloatTiling<16, 32, 4, 1, 8, 128, 3>;
using Float64 = FloatTiling<64, 64, 4, 4, 3, 128, 1>;

template <typename Tiling, typename Out, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(Tiling::kThreads, Tiling::kAtOnce)
    float_tiles(const Shape s, const float* a, const float* b, Out* c, const int width_a, const int width_b,
                const unsigned split) {
  static_assert(TileOfSums<Tiling::kM, Tiling::kN>::kBytes <= Tiling::kBytes);
  constexpr int kEachM = Tiling::kEachM, kEachN = Tiling::kEachN;
  using Of = TilesOf<Tiling, float, kAAlongK, kBAlongK>;
  cuda::after_earlier();
  extern __shared__ __align__(16) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{Tiling::kM} * blockIdx.y, first_n = int64_t{Tiling::kN} * (blockIdx.x / split);
  const int row = static_cast<int>(threadIdx.x) / Tiling::kAcrossN, column = static_cast<int>(threadIdx.x) % Tiling::kAcrossN;
  const Steps steps = steps_of<float>(s, split);
  Of tiles(s, steps, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[kEachM][kEachN] = {};
  go_through<Tiling>(tiles, steps.count, [&](int step) {
    const float *const tile_a = tiles.a(step), *const tile_b = tiles.b(step);
#pragma unroll
    for (int k = 0; k < kDepth<float>; k += 4) {
      float of_a[kEachM][4], of_b[kEachN][4];
#pragma unroll
      for (int i = 0; i < kEachM; ++i) Of::A::four(of_a[i], tile_a, row + i * Tiling::kAcrossM, k);
#pragma unroll
      for (int j = 0; j < kEachN; ++j) Of::B::four(of_b[j], tile_b, column + j * Tiling::kAcrossN, k);
#pragma unroll
      for (int at = 0; at < 4; ++at)
#pragma unroll
        for (int i = 0; i < kEachM; ++i)
#pragma unroll
          for (int j = 0; j < kEachN; ++j) sums[i][j] = fmaf(of_a[i][at], of_b[j][at], sums[i][j]);
    }
  });
  const auto for_sums = [&](const auto& each) {
    if (threadIdx.x >= Tiling::kComputeThreads) return;
#pragma unroll
    for (int i = 0; i < kEachM; ++i)
#pragma unroll
      for (int j = 0; j < kEachN; ++j) each(row + i * Tiling::kAcrossM, column + j * Tiling::kAcrossN, sums[i][j]);
  };
  store_tile<Tiling::kM, Tiling::kN>(s, c, first_m, first_n, split, memory, for_sums);
}

// `tile`: rows of C that a block has; of 16 there are 32 columns, else as many. Where C has fewer columns than rows, tiles of 16
// have its columns: products and sums are the same, bit for bit. `split`: blocks that share K of a tile.
constexpr Tuning kTunings[] = {
    {{{{"split", 1}, {"tile", 16}}}}, {{{{"split", 2}, {"tile", 16}}}}, {{{{"split", 4}, {"tile", 16}}}},
    {{{{"split", 8}, {"tile", 16}}}}, {{{{"split", 1}, {"tile", 64}}}}, {{{{"split", 2}, {"tile", 64}}}},
    {{{{"split", 4}, {"tile", 64}}}}, {{{{"split", 8}, {"tile", 64}}}}, {{{{"split", 1}, {"tile", 128}}}}};

bool is_transposed(const MatmulShape& s, const Tuning& tuning) { return tuning["tile"] == 16 && s.n < s.m; }

class Gemm final : public Kernel {
  // Before what uses them: their types are deduced.
  template <typename Function>
  auto with_order(const Function& function) const {
    if (a_along_k_)
      return b_along_k_ ? function(std::true_type{}, std::true_type{}) : function(std::true_type{}, std::false_type{});
    return b_along_k_ ? function(std::false_type{}, std::true_type{}) : function(std::false_type{}, std::false_type{});
  }

  // Calls function(kernel, tiling, In{}, Out{}).
  template <typename Function>
  auto with_kernel(const Function& function) const {
    return with_order([&](auto along_a, auto along_b) {
      constexpr bool kA = along_a.value, kB = along_b.value;
      return cuda::with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
        if constexpr (std::is_same_v<In, float>)
          return tile_ == 16 ? function(float_tiles<Float16, Out, kA, kB>, Float16{}, in, out)
                             : function(float_tiles<Float64, Out, kA, kB>, Float64{}, in, out);
        else
          return tile_ == 16   ? function(mma_tiles<Mma16, In, Out, kA, kB>, Mma16{}, in, out)
                 : tile_ == 64 ? function(mma_tiles<Mma64, In, Out, kA, kB>, Mma64{}, in, out)
                               : function(mma_tiles<Mma128, In, Out, kA, kB>, Mma128{}, in, out);
      });
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Gemm>(new Gemm(problem, tuning, device));
    METALLIC_CHECK(kernel->with_kernel(
        []<typename Tiling>(auto function, Tiling, auto, auto) { return cuda::allow(function, Tiling::kBytes); }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    return with_kernel([&]<typename Tiling, typename In, typename Out>(auto function, Tiling, In, Out) {
      const auto* a = static_cast<const In*>(args.in[0]);
      const auto* b = static_cast<const In*>(args.in[1]);
      if (transposed_) std::swap(a, b);
      const Grid grid = {
          .blocks = dim3(static_cast<unsigned>((shape_.n + Tiling::kN - 1) / Tiling::kN * split_),
                         static_cast<unsigned>((shape_.m + Tiling::kM - 1) / Tiling::kM), static_cast<unsigned>(batch_)),
          .threads = Tiling::kThreads,
          .shared = Tiling::kBytes,
          .cluster = static_cast<unsigned>(split_),
          .early = early_};
      return cuda::launch(function, grid, executor, shape_, a, b, static_cast<Out*>(args.out), copied_width(a, shape_.a, batch_),
                          copied_width(b, shape_.b, batch_), static_cast<unsigned>(split_));
    });
  }

 private:
  Gemm(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        tile_(tuning["tile"]),
        split_(tuning["split"]),
        transposed_(is_transposed(problem.matmul(), tuning)),
        early_(cuda::can_begin_early(device)),
        batch_(problem.matmul().batch),
        shape_(problem.matmul()) {
    const MatmulShape& s = problem.matmul();
    // One row or column without gaps lies along K whatever it is called, and its stride says nothing.
    const bool row = s.ta && s.m == 1 && s.lda == 1, column = !s.tb && s.n == 1 && s.ldb == 1;
    a_along_k_ = !s.ta || row, b_along_k_ = s.tb || column;
    if (row) shape_.a.stride = (s.k + 7) / 8 * 8;
    if (column) shape_.b.stride = (s.k + 7) / 8 * 8;
    if (!transposed_) return;
    std::swap(a_along_k_, b_along_k_);
    shape_ = shape_.transposed();
  }

  DType dtype_, out_dtype_;
  int64_t tile_, split_;
  bool transposed_, early_;
  int64_t batch_;
  Shape shape_;
  bool a_along_k_, b_along_k_;
};

int64_t steps_of(const Problem& problem) {
  return split_up(problem.matmul().k, problem.dtype == DType::f32 ? kDepth<float> : kDepth<__half>);
}

int64_t tiles_of(const Problem& problem, const Tuning& tuning) {
  const MatmulShape& s = problem.matmul();
  const int64_t tile = tuning["tile"];
  return s.batch * (tile == 16 ? split_up(s.small(), 16) * split_up(s.big(), 32) : split_up(s.m, tile) * split_up(s.n, tile));
}

// Figures of `cost`, in steps of K of the smallest tile.
struct Costs {
  double steps[3];    // that one of a tile takes: of 16, 64, 128 rows
  double at_once[3];  // blocks of each multiprocessor that do not slow each other
  double begin[2];    // before the first step; [1]: where all rows begin at multiples of 16 bytes, and steps are short
  double sharing[2];  // and what blocks that share K add
};
constexpr Costs kCosts = {{1, 1.47, 3.62}, {1.91, 1.08, 0.83}, {0.33, 7.86}, {2.19, 6.98}};
constexpr Costs kFloatCosts = {{1, 1.64}, {1.68, 0.67}, {1.4, 2.54}, {2.97, 2.07}};

// What a tuning takes: as long as a block does, and longer where more blocks than a multiprocessor works at in that time wait.
// The figures are those with which it loses least against the best tuning of each of 1222 shapes that an H100's tune timed in
// either type: 1.7 and 2.7 %.
double cost(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
  const MatmulShape& s = problem.matmul();
  const Costs& costs = problem.dtype == DType::f32 ? kFloatCosts : kCosts;
  const int64_t split = tuning["split"], of_16_bytes = 16 / static_cast<int64_t>(size_of(problem.dtype));
  const int tile = tuning["tile"] == 16 ? 0 : tuning["tile"] == 64 ? 1 : 2, even = s.rows_begin_evenly(of_16_bytes);
  const double steps = static_cast<double>(split_up(steps_of(problem), split)) + costs.begin[even];
  const double blocks = static_cast<double>(split * tiles_of(problem, tuning));
  return costs.steps[tile] * steps * std::max(1.0, blocks / (static_cast<double>(device.cuda().num_sms) * costs.at_once[tile])) +
         (split > 1 ? costs.sharing[even] : 0);
}

const Tuning& prefers(const Problem& problem, const DeviceInfo& device) {
  const Tuning* best = nullptr;
  double least = 0;
  for (const Tuning& tuning : kTunings) {
    if (problem.dtype == DType::f32 && tuning["tile"] > 64) continue;
    if (refuses_split(tuning["split"], steps_of(problem), tiles_of(problem, tuning), device)) continue;
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
      const MatmulShape& s = problem.matmul();
      if (auto reason = refuses_packed(problem)) return reason;
      if (problem.dtype == DType::f32 && tuning["tile"] > 64) return "f32 has tiles of up to 64 rows";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      const bool transposed = is_transposed(s, tuning);
      if ((transposed ? s.n : s.m) > 65535 * tuning["tile"]) return "more rows than a grid has blocks";
      if ((transposed ? s.m : s.n) > (int64_t{1} << 36) - 32) return "more columns than a grid has blocks";
      return refuses_split(tuning["split"], steps_of(problem), tiles_of(problem, tuning), device);
    },
    .prefer = prefers,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Gemm::make(problem, tuning, device); },
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (problem.dtype == DType::f32 ? "rising;" : "rising_mma;") + of_split(tuning["split"]) + device.isa();
    },
};

}  // namespace metallic::matmul
