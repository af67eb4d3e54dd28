// matmul cuda_gemm: tiles of C by tensor cores (f32: by multiply-adds), operands of any size, order and place through shared
// memory; K is summed in rising order whatever M and N, so that a result does not depend on what is beside it.
#include <algorithm>

#include "core/variant.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/element.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/matmul/contract.h"
#include "kernels/matmul/tiles.cuh"

namespace metallic::matmul {
namespace {
using cuda::Grid;
using cuda::multiply_add;

// ---- 16-bit types ----

constexpr int kThreads = 128;  // four warps, each with a quarter of a tile

// Tiles on their way or in use: as many as two blocks of a multiprocessor have shared memory for.
template <int kTile>
inline constexpr int kStages = kTile >= 128 ? 3 : 4;

template <typename T, int kTile, bool kAAlongK, bool kBAlongK>
using TilesOf = Tiles<T, kTile, kAAlongK, kTile, kBAlongK, kStages<kTile>, kThreads>;

// A block has kTile × kTile of C, a warp half of that each way.
template <typename In, typename Out, int kTile, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(kThreads, 2)
    mma_tiles(const Shape s, const In* a, const In* b, Out* c, const int width_a, const int width_b) {
  constexpr int kOfWarp = kTile / 2, kOfM = kOfWarp / 16, kOfN = kOfWarp / 8;
  using Of = TilesOf<In, kTile, kAAlongK, kBAlongK>;
  cuda::after_earlier();
  extern __shared__ __align__(16) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{kTile} * blockIdx.y, first_n = int64_t{kTile} * blockIdx.x;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int warp_m = warp / 2 * kOfWarp, warp_n = warp % 2 * kOfWarp;
  const int64_t steps = (s.k + kDepth - 1) / kDepth;
  Of tiles(s, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[kOfM][kOfN][4] = {};
  for (int64_t step = 0; step < kStages<kTile> - 1; ++step) tiles.start(step, steps);
  for (int64_t step = 0; step < steps; ++step) {
    cuda::wait_for_copies<kStages<kTile> - 2>();
    __syncthreads();  // the tiles of this step are there, and those of the step before are free
    tiles.start(step + kStages<kTile> - 1, steps);
    const In *const tile_a = tiles.a(step), *const tile_b = tiles.b(step);
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
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
  }
#pragma unroll
  for (int i = 0; i < kOfM; ++i)
#pragma unroll
    for (int j = 0; j < kOfN; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        store_pair(s, c, first_m + warp_m + 16 * i + lane / 4 + 8 * half, first_n + warp_n + 8 * j + lane % 4 * 2,
                   sums[i][j][2 * half], sums[i][j][2 * half + 1]);
}

// ---- f32 ----

constexpr int kFloatTile = 64, kFloatDepth = 16, kFloatThreads = 256;

template <typename Out, bool kAAlongK, bool kBAlongK>
__global__ void __launch_bounds__(kFloatThreads) float_tiles(const Shape s, const float* a, const float* b, Out* c) {
  constexpr int kEach = 4;  // a thread has so many rows and columns of the tile
  cuda::after_earlier();
  __shared__ float tile_a[kFloatDepth][kFloatTile + 4], tile_b[kFloatDepth][kFloatTile + 4];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{kFloatTile} * blockIdx.y, first_n = int64_t{kFloatTile} * blockIdx.x;
  const int row = static_cast<int>(threadIdx.x) / 16 * kEach, column = static_cast<int>(threadIdx.x) % 16 * kEach;
  const auto copy = [&](auto along_k, float(&to)[kFloatDepth][kFloatTile + 4], const float* from, const Matrix& matrix,
                        int64_t first, int64_t k) {
    for (int i = static_cast<int>(threadIdx.x); i < kFloatTile * kFloatDepth; i += kFloatThreads) {
      const int at_k = along_k.value ? i % kFloatDepth : i / kFloatTile, at = along_k.value ? i / kFloatDepth : i % kFloatTile;
      const int64_t outer = along_k.value ? first + at : k + at_k, inner = along_k.value ? k + at_k : first + at;
      to[at_k][at] = first + at < matrix.rows && k + at_k < s.k ? from[outer * matrix.stride + inner] : 0;
    }
  };
  float sums[kEach][kEach] = {};
  for (int64_t k = 0; k < s.k; k += kFloatDepth) {
    copy(std::bool_constant<kAAlongK>{}, tile_a, a, s.a, first_m, k);
    copy(std::bool_constant<kBAlongK>{}, tile_b, b, s.b, first_n, k);
    __syncthreads();
#pragma unroll
    for (int at = 0; at < kFloatDepth; ++at) {
      float of_a[kEach], of_b[kEach];
#pragma unroll
      for (int i = 0; i < kEach; ++i) of_a[i] = tile_a[at][row + i], of_b[i] = tile_b[at][column + i];
#pragma unroll
      for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j) sums[i][j] = fmaf(of_a[i], of_b[j], sums[i][j]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kEach; ++i)
#pragma unroll
    for (int j = 0; j < kEach; ++j) store(s, c, first_m + row + i, first_n + column + j, sums[i][j]);
}

constexpr Tuning kTunings[] = {{{{{"tile", 64}}}}, {{{{"tile", 128}}}}};

class Gemm final : public Kernel {
  // Before what uses them: their types are deduced.
  template <typename Function>
  auto with_order(const Function& function) const {
    if (a_along_k_)
      return b_along_k_ ? function(std::true_type{}, std::true_type{}) : function(std::true_type{}, std::false_type{});
    return b_along_k_ ? function(std::false_type{}, std::true_type{}) : function(std::false_type{}, std::false_type{});
  }

  // Calls function(kernel, In{}, Out{}) with the kernel of 16-bit operands.
  template <typename Function>
  auto with_mma(const Function& function) const {
    return with_order([&](auto a_along_k, auto b_along_k) {
      return cuda::with_16_bit_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
        return tile_ == 128 ? function(mma_tiles<In, Out, 128, a_along_k.value, b_along_k.value>, in, out)
                            : function(mma_tiles<In, Out, 64, a_along_k.value, b_along_k.value>, in, out);
      });
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) {
    auto kernel = std::unique_ptr<Gemm>(new Gemm(problem, tuning, facts));
    if (problem.dtype != DType::f32)
      METALLIC_CHECK((kernel->with_mma([&](auto function, auto, auto) { return cuda::allow(function, kernel->shared_); })));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    if (dtype_ == DType::f32)
      return with_order([&](auto a_along_k, auto b_along_k) {
        return cuda::with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In, Out) {
          if constexpr (std::is_same_v<In, float>)
            return cuda::launch(float_tiles<Out, a_along_k.value, b_along_k.value>, grid(kFloatTile, kFloatThreads, 0), executor,
                                shape_, static_cast<const float*>(args.in[0]), static_cast<const float*>(args.in[1]),
                                static_cast<Out*>(args.out));
          return Code::internal;
        });
      });
    return with_mma([&]<typename In, typename Out>(auto function, In, Out) {
      return cuda::launch(function, grid(tile_, kThreads, shared_), executor, shape_, static_cast<const In*>(args.in[0]),
                          static_cast<const In*>(args.in[1]), static_cast<Out*>(args.out),
                          copied_width(args.in[0], shape_.a, batch_), copied_width(args.in[1], shape_.b, batch_));
    });
  }

 private:
  Gemm(const Problem& problem, const Tuning& tuning, const DeviceFacts& facts)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        tile_(static_cast<int>(tuning["tile"])),
        early_(cuda::can_begin_early(facts)),
        shape_(problem.matmul()) {
    const MatmulShape& s = problem.matmul();
    batch_ = s.batch;
    a_along_k_ = !s.ta;
    b_along_k_ = s.tb;
    shared_ = tile_ == 128 ? TilesOf<__half, 128, true, true>::kBytes : TilesOf<__half, 64, true, true>::kBytes;
  }

  Grid grid(int tile, unsigned threads, size_t shared) const {
    return {.blocks = dim3(static_cast<unsigned>((shape_.n + tile - 1) / tile),
                           static_cast<unsigned>((shape_.m + tile - 1) / tile), static_cast<unsigned>(batch_)),
            .threads = threads,
            .shared = shared,
            .early = early_};
  }

  DType dtype_, out_dtype_;
  int tile_;
  bool early_;
  int64_t batch_;
  bool a_along_k_, b_along_k_;
  Shape shape_;
  size_t shared_;
};

}  // namespace

extern const Variant cuda_gemm = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      const MatmulShape& s = problem.matmul();
      if (auto reason = refuses_packed(problem)) return reason;
      if (problem.dtype == DType::f32 && tuning["tile"] != 64) return "f32 has tiles of 64 alone";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      if (s.m > int64_t{65535} * 64) return "more rows than a grid has blocks";
      if (s.n > int64_t{1} << 36) return "more columns than a grid has blocks";
      return std::nullopt;
    },
    // Large tiles read less, where there are enough of them.
    .prefer = [](const Problem& problem, const DeviceFacts& facts) -> const Tuning& {
      const MatmulShape& s = problem.matmul();
      const int64_t large = s.batch * ((s.m + 127) / 128) * ((s.n + 127) / 128);
      return kTunings[problem.dtype != DType::f32 && large >= facts.cores ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts,
                  Planner&) { return Gemm::make(problem, tuning, facts); },
    .reduction_id = [](const Problem& problem, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      return (problem.dtype == DType::f32 ? "rising;" : "rising_mma;") + facts.isa;
    },
};

}  // namespace metallic::matmul
