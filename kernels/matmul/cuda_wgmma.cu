// matmul cuda_wgmma: tiles of C by Hopper's asynchronous tensor cores, 16-bit operands along K at any place through shared
// memory; K is summed in rising order.
#include <algorithm>

#include "core/variant.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/wgmma.cuh"
#include "kernels/matmul/contract.h"
#include "kernels/matmul/tiles.cuh"

namespace metallic::matmul {
namespace {
using cuda::Grid;

constexpr int kThreads = 256;  // two warpgroups, each with half of a tile's rows
constexpr int kColumns = 128;

// Tiles on their way, in use, or in use a step ago, as many as a block has shared memory for.
template <int kRows>
inline constexpr int kStages = kRows == 256 ? 4 : 6;

template <typename T, int kRows>
using TilesOf = Tiles<T, kRows, true, kColumns, true, kStages<kRows>, 0, kThreads>;

// A block has kRows × 128 of C. What it reads from the L2 cache bounds it: for 256 rows 85 operations a byte, for 128 64.
template <typename In, typename Out, int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    wgmma_tiles(const Shape s, const In* a, const In* b, Out* c, const int width_a, const int width_b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kOfGroup = kRows / 128;  // products of 64 rows
  cuda::after_earlier();
  extern __shared__ __align__(1024) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{kRows} * blockIdx.y, first_n = int64_t{kColumns} * blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), group_m = thread / 128 * (kRows / 2);
  const int steps = steps_of<In>(s);
  TilesOf<In, kRows> tiles(s, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[kOfGroup][64] = {};
  for (int step = 0; step < kStages<kRows> - 2; ++step) tiles.start(step, steps);
  for (int step = 0; step < steps; ++step) {
    cuda::wait_for_copies<kStages<kRows> - 3>();
    cuda::show_to_products();
    // The tiles of this step are there, and nobody reads those of two steps ago: who comes here has waited for them.
    __syncthreads();
    const In *const tile_a = tiles.a(step) + group_m * kDepth<In>, *const tile_b = tiles.b(step);
    cuda::begin_products();
#pragma unroll
    for (int k = 0; k < kDepth<In>; k += 16) {
      const uint64_t of_b = cuda::rows_of_128_bytes(tile_b + k);
#pragma unroll
      for (int i = 0; i < kOfGroup; ++i)
        cuda::add_product<In>(sums[i], cuda::rows_of_128_bytes(tile_a + 64 * i * kDepth<In> + k), of_b);
    }
    cuda::end_products();
    tiles.start(step + kStages<kRows> - 2, steps);
    cuda::wait_for_products<1>();
  }
  cuda::wait_for_products<0>();
#pragma unroll
  for (int i = 0; i < kOfGroup; ++i) cuda::settle(sums[i]);
  const int lane = thread % 32;
  const int64_t row = first_m + group_m + thread % 128 / 32 * 16 + lane / 4, column = first_n + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < kOfGroup; ++i)
#pragma unroll
    for (int j = 0; j < 16; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        store_pair(s, c, row + 64 * i + 8 * half, column + 8 * j, sums[i][4 * j + 2 * half], sums[i][4 * j + 2 * half + 1]);
#endif
}

constexpr Tuning kTunings[] = {{{{{"rows", 128}}}}, {{{{"rows", 256}}}}};

class Wgmma final : public Kernel {
  // Calls function(kernel, bytes of shared memory, In{}, Out{}). Before what uses it: its type is deduced.
  template <typename Function>
  auto with_kernel(const Function& function) const {
    return cuda::with_16_bit_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      return rows_ == 256 ? function(wgmma_tiles<In, Out, 256>, TilesOf<In, 256>::kBytes, in, out)
                          : function(wgmma_tiles<In, Out, 128>, TilesOf<In, 128>::kBytes, in, out);
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning) {
    auto kernel = std::unique_ptr<Wgmma>(new Wgmma(problem, tuning));
    METALLIC_CHECK(kernel->with_kernel([](auto function, size_t shared, auto, auto) { return cuda::allow(function, shared); }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    return with_kernel([&]<typename In, typename Out>(auto function, size_t shared, In, Out) {
      const Grid grid{.blocks = dim3(static_cast<unsigned>((shape_.n + kColumns - 1) / kColumns),
                                     static_cast<unsigned>((shape_.m + rows_ - 1) / rows_), static_cast<unsigned>(batch_)),
                      .threads = kThreads,
                      .shared = shared,
                      .early = true};
      const auto *const a = static_cast<const In*>(args.in[0]), *const b = static_cast<const In*>(args.in[1]);
      return cuda::launch(function, grid, executor, shape_, a, b, static_cast<Out*>(args.out), copied_width(a, shape_.a, batch_),
                          copied_width(b, shape_.b, batch_));
    });
  }

 private:
  Wgmma(const Problem& problem, const Tuning& tuning)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        rows_(tuning["rows"]),
        batch_(problem.matmul().batch),
        shape_(problem.matmul()) {}

  DType dtype_, out_dtype_;
  int64_t rows_, batch_;
  Shape shape_;
};

}  // namespace

extern const Variant cuda_wgmma = {
    .family = "gemm",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceFacts& facts) -> std::optional<std::string> {
      if (auto reason = cuda::refuses_device(facts)) return reason;
      if (facts.isa_bit != 90) return "needs the tensor cores of compute capability 9.0";
      if (auto reason = refuses_packed(problem)) return reason;
      const MatmulShape& s = problem.matmul();
      if (problem.dtype == DType::f32) return "takes 16-bit operands";
      if (s.ta || !s.tb) return "takes operands whose rows lie along K";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      if (s.m > 65535 * tuning["rows"]) return "more rows than a grid has blocks";
      if (s.n > int64_t{1} << 36) return "more columns than a grid has blocks";
      return std::nullopt;
    },
    // Large tiles read less, where there are enough of them.
    .prefer = [](const Problem& problem, const DeviceFacts& facts) -> const Tuning& {
      const MatmulShape& s = problem.matmul();
      const int64_t large = s.batch * ((s.m + 255) / 256) * ((s.n + kColumns - 1) / kColumns);
      return kTunings[large >= facts.cores ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&,
                  Planner&) { return Wgmma::make(problem, tuning); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      return "rising_wgmma;" + facts.isa;
    },
};

}  // namespace metallic::matmul
