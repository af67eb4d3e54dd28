// matmul cuda_wgmma: tiles of C by Hopper's asynchronous tensor cores, 16-bit operands along K through shared memory: brought by
// the copy engine where rows begin at multiples of 16 bytes, else by the threads that compute. K is summed in rising order.
#include <algorithm>

#include "core/variant.h"
#include "kernels/cuda/arrivals.cuh"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
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

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Begins the products of a step: rows of a tile of A that this warpgroup has, times a tile of B.
template <typename In, int kOfGroup>
__device__ void begin_step(float (&sums)[kOfGroup][64], const In* tile_a, const In* tile_b) {
  cuda::begin_products();
#pragma unroll
  for (int k = 0; k < kDepth<In>; k += 16) {
    const uint64_t of_b = cuda::rows_of_128_bytes(tile_b + k);
#pragma unroll
    for (int i = 0; i < kOfGroup; ++i)
      cuda::add_product<In>(sums[i], cuda::rows_of_128_bytes(tile_a + 64 * i * kDepth<In> + k), of_b);
  }
  cuda::end_products();
}

// Stores the sums of a warpgroup, which has the rows of C from `first_m` on.
template <typename Out, int kOfGroup>
__device__ void store_sums(const Shape& s, Out* c, float (&sums)[kOfGroup][64], int64_t first_m, int64_t first_n) {
  cuda::wait_for_products<0>();
#pragma unroll
  for (int i = 0; i < kOfGroup; ++i) cuda::settle(sums[i]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int64_t row = first_m + thread % 128 / 32 * 16 + lane / 4, column = first_n + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < kOfGroup; ++i)
#pragma unroll
    for (int j = 0; j < 16; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        store_pair(s, c, row + 64 * i + 8 * half, column + 8 * j, sums[i][4 * j + 2 * half], sums[i][4 * j + 2 * half + 1]);
}
#endif

// A block has kRows × 128 of C. What it reads from the L2 cache bounds it: for 256 rows 85 operations a byte, for 128 64.
template <typename In, typename Out, int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    wgmma_tiles(const Shape s, const In* a, const In* b, Out* c, const int width_a, const int width_b) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  cuda::after_earlier();
  extern __shared__ __align__(1024) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{kRows} * blockIdx.y, first_n = int64_t{kColumns} * blockIdx.x;
  const int group_m = static_cast<int>(threadIdx.x) / 128 * (kRows / 2), steps = steps_of<In>(s);
  TilesOf<In, kRows> tiles(s, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[kRows / 128][64] = {};
  for (int step = 0; step < kStages<kRows> - 2; ++step) tiles.start(step, steps);
  for (int step = 0; step < steps; ++step) {
    cuda::wait_for_copies<kStages<kRows> - 3>();
    cuda::show_to_products();
    // The tiles of this step are there, and nobody reads those of two steps ago: who comes here has waited for them.
    __syncthreads();
    begin_step(sums, tiles.a(step) + group_m * kDepth<In>, tiles.b(step));
    tiles.start(step + kStages<kRows> - 2, steps);
    cuda::wait_for_products<1>();
  }
  store_sums(s, c, sums, first_m + group_m, first_n);
#endif
}

// The same by the copy engine, which one of the threads asks for each tile when all have read what is in its place.
template <typename In, typename Out, int kRows>
__global__ void __launch_bounds__(kThreads, 1)
    wgmma_boxes(const __grid_constant__ CUtensorMap of_a, const __grid_constant__ CUtensorMap of_b, const Shape s, Out* c) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kTileA = kRows * kDepth<In>, kStage = kTileA + kColumns * kDepth<In>;  // elements
  extern __shared__ __align__(1024) unsigned char memory[];
  __shared__ cuda::Arrivals there[kStages<kRows>], read[kStages<kRows>];
  if (threadIdx.x == 0)
    for (int i = 0; i < kStages<kRows>; ++i) there[i].begin(1), read[i].begin(kThreads / 32);
  __syncthreads();
  cuda::after_earlier();
  In* const tiles = reinterpret_cast<In*>(memory);
  const int first_m = kRows * static_cast<int>(blockIdx.y), first_n = kColumns * static_cast<int>(blockIdx.x);
  const int steps = steps_of<In>(s);
  const auto start = [&](int step, int stage) {
    if (step >= steps) return;
    there[stage].arrive_expecting(kStage * sizeof(In));
    const int k = kDepth<In> * step, matrix = static_cast<int>(blockIdx.z);
    there[stage].copy_box(tiles + stage * kStage, &of_a, k, first_m, matrix, false);
    there[stage].copy_box(tiles + stage * kStage + kTileA, &of_b, k, first_n, matrix, false);
  };
  if (threadIdx.x == 0)
    for (int stage = 0; stage < kStages<kRows>; ++stage) start(stage, stage);
  const int group_m = static_cast<int>(threadIdx.x) / 128 * (kRows / 2);
  float sums[kRows / 128][64] = {};
  const auto begin = [&](int stage, unsigned round) {
    there[stage].wait(round);
    begin_step(sums, tiles + stage * kStage + group_m * kDepth<In>, tiles + stage * kStage + kTileA);
  };
  begin(0, 0);
  int before = 0;
  unsigned round_before = 0;
  for (int step = 1; step < steps; ++step) {
    const bool wraps = before + 1 == kStages<kRows>;
    const int stage = wraps ? 0 : before + 1;
    const unsigned round = round_before + (wraps ? 1 : 0);
    begin(stage, round);
    cuda::wait_for_products<1>();  // those of the step before are done
    if (threadIdx.x % 32 == 0) {
      read[before].arrive();
      if (threadIdx.x == 0) read[before].wait(round_before), start(step - 1 + kStages<kRows>, before);
    }
    before = stage, round_before = round;
  }
  store_sums(s, c + blockIdx.z * s.batch_c, sums, first_m + group_m, first_n);
#endif
}

constexpr Tuning kTunings[] = {{{{{"rows", 128}}}}, {{{{"rows", 256}}}}};

class Wgmma final : public Kernel {
  // Calls function(kernel of tiles, kernel of boxes, bytes of shared memory, In{}, Out{}). Before what uses it: its type is
  // deduced.
  template <typename Function>
  auto with_kernels(const Function& function) const {
    return cuda::with_16_bit_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      return rows_ == 256 ? function(wgmma_tiles<In, Out, 256>, wgmma_boxes<In, Out, 256>, TilesOf<In, 256>::kBytes, in, out)
                          : function(wgmma_tiles<In, Out, 128>, wgmma_boxes<In, Out, 128>, TilesOf<In, 128>::kBytes, in, out);
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning) {
    auto kernel = std::unique_ptr<Wgmma>(new Wgmma(problem, tuning));
    METALLIC_CHECK(kernel->with_kernels([](auto tiles, auto boxes, size_t shared, auto, auto) -> Status {
      METALLIC_CHECK(cuda::allow(tiles, shared));
      return cuda::allow(boxes, shared);
    }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    const void *const a = args.in[0], *const b = args.in[1];
    CUtensorMap of_a, of_b;
    const bool mapped = shape_.k > 0 && cuda::make_tensor_map(of_a, a, rows_of(shape_.a), static_cast<uint32_t>(rows_)) &&
                        cuda::make_tensor_map(of_b, b, rows_of(shape_.b), kColumns);
    return with_kernels([&]<typename In, typename Out>(auto tiles, auto boxes, size_t shared, In, Out) {
      const Grid grid{.blocks = dim3(static_cast<unsigned>((shape_.n + kColumns - 1) / kColumns),
                                     static_cast<unsigned>((shape_.m + rows_ - 1) / rows_), static_cast<unsigned>(batch_)),
                      .threads = kThreads,
                      .shared = shared,
                      .early = true};
      auto* const c = static_cast<Out*>(args.out);
      if (mapped) return cuda::launch(boxes, grid, executor, of_a, of_b, shape_, c);
      const auto *const in_a = static_cast<const In*>(a), *const in_b = static_cast<const In*>(b);
      return cuda::launch(tiles, grid, executor, shape_, in_a, in_b, c, copied_width(in_a, shape_.a, batch_),
                          copied_width(in_b, shape_.b, batch_));
    });
  }

 private:
  Wgmma(const Problem& problem, const Tuning& tuning)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        rows_(tuning["rows"]),
        batch_(problem.matmul().batch),
        shape_(problem.matmul()) {}

  cuda::RowsInMemory rows_of(const Matrix& matrix) const { return {matrix.rows, shape_.k, matrix.stride, batch_, matrix.batch}; }

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
    // Of two waves of small tiles and one of large ones, which take 1.5 times as long, the faster.
    .prefer = [](const Problem& problem, const DeviceFacts& facts) -> const Tuning& {
      const MatmulShape& s = problem.matmul();
      const auto waves = [&](int64_t rows) {
        const int64_t blocks = s.batch * ((s.m + rows - 1) / rows) * ((s.n + kColumns - 1) / kColumns);
        return std::max(1.0, static_cast<double>(blocks) / facts.cores);
      };
      return kTunings[1.5 * waves(256) < waves(128) ? 1 : 0];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceFacts&,
                  Planner&) { return Wgmma::make(problem, tuning); },
    .reduction_id = [](const Problem&, const Tuning&, const DeviceFacts& facts) -> std::optional<std::string> {
      return "rising_wgmma;" + facts.isa;
    },
};

}  // namespace metallic::matmul
