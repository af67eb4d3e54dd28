// matmul cuda_wgmma: tiles of C by Hopper's asynchronous tensor cores, 16-bit operands along K through shared memory: brought by
// the copy engine where rows begin at multiples of 16 bytes, else by the threads that compute. K is summed in rising order by
// each of the blocks that share it.
#include <algorithm>

#include "ops/variant.h"
#include "ops/cuda/mbarrier.cuh"
#include "ops/cuda/device.h"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tensor_map.h"
#include "ops/cuda/wgmma.cuh"
#include "ops/matmul/contract.h"
#include "ops/matmul/cluster_split_k.cuh"
#include "ops/matmul/tiles.cuh"

namespace metallic::matmul {
namespace {
using cuda::Grid;

constexpr int kComputing = 256;  // threads: two warpgroups, each with half of a tile's rows

// A block has kM × kN of C; of both operands there are tiles on their way, in use, or in use a step ago: kStages, which leave a
// multiprocessor's shared memory to two blocks where C has few columns, or kMostStages.
template <int kRows, int kColumns>
struct Tiling {
  static constexpr int kM = kRows, kN = kColumns;
  static constexpr int kStages = kN == 32 ? 5 : kN == 64 || kM == 256 ? 4 : 6, kMostStages = kN < 128 ? 2 * kStages : kStages;
  static constexpr size_t kStageBytes = sizeof(__half) * (kM + kN) * kDepth<__half>;
  // The largest tiles leave no registers for sums of others, and a warpgroup copies, which can leave its own to those that
  // compute.
  static constexpr bool kSharesK = kM < 256;
  static constexpr int kThreads = kComputing + (kSharesK ? 32 : 128);
  static_assert(!kSharesK || TileOfSums<kM, kN>::kBytes <= kStages * kStageBytes);
};

template <typename Of, typename T>
using TilesOf = Tiles<T, Of::kM, true, Of::kN, true, Of::kStages, 0, kComputing>;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Begins the products of a step: rows of a tile of A that this warpgroup has, times a tile of B.
template <typename In, int kOfGroup, int kSums>
__device__ void begin_step(float (&sums)[kOfGroup][kSums], const In* tile_a, const In* tile_b) {
  constexpr int kUnit = 16 / sizeof(In);  // elements that a description counts as one
  const uint64_t of_a = cuda::rows_of_128_bytes(tile_a), of_b = cuda::rows_of_128_bytes(tile_b);
  cuda::begin_products();
#pragma unroll
  for (int k = 0; k < kDepth<In>; k += 16)
#pragma unroll
    for (int i = 0; i < kOfGroup; ++i) cuda::add_product<In>(sums[i], of_a + (64 * i * kDepth<In> + k) / kUnit, of_b + k / kUnit);
  cuda::end_products();
}

// Stores a tile from (first_m, first_n) on, of which each warpgroup has half the rows, with what the blocks have that share its
// K.
template <typename Of, typename Out, int kOfGroup, int kSums>
__device__ void store_sums(const Shape& s, Out* c, float (&sums)[kOfGroup][kSums], int64_t first_m, int64_t first_n,
                           unsigned split, unsigned char* memory) {
#pragma unroll
  for (int i = 0; i < kOfGroup; ++i) cuda::settle(sums[i]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const int row = thread / 128 * (Of::kM / 2) + thread % 128 / 32 * 16 + lane / 4, column = lane % 4 * 2;
  const auto for_sums = [&](const auto& put) {
    if (thread >= kComputing) return;
#pragma unroll
    for (int i = 0; i < kOfGroup; ++i)
#pragma unroll
      for (int j = 0; j < kSums / 4; ++j)
#pragma unroll
        for (int half = 0; half < 2; ++half)
          put(row + 64 * i + 8 * half, column + 8 * j, sums[i][4 * j + 2 * half], sums[i][4 * j + 2 * half + 1]);
  };
  if constexpr (Of::kSharesK)
    store_tile<Of::kM, Of::kN>(s, c, first_m, first_n, split, memory, for_sums);
  else
    for_sums(ToResult<Out>{s, c, first_m, first_n});
}
#endif

template <typename Of, typename In, typename Out>
__global__ void __launch_bounds__(kComputing, 1)
    wgmma_tiles(const Shape s, const In* a, const In* b, Out* c, const int width_a, const int width_b, const unsigned split) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  cuda::after_earlier();
  extern __shared__ __align__(1024) unsigned char memory[];
  a += blockIdx.z * s.a.batch, b += blockIdx.z * s.b.batch, c += blockIdx.z * s.batch_c;
  const int64_t first_m = int64_t{Of::kM} * blockIdx.y, first_n = int64_t{Of::kN} * (blockIdx.x / split);
  const int group_m = static_cast<int>(threadIdx.x) / 128 * (Of::kM / 2);
  const Steps steps = steps_of<In>(s, split);
  TilesOf<Of, In> tiles(s, steps, a, first_m, width_a, b, first_n, width_b, memory);
  float sums[Of::kM / 128][Of::kN / 2] = {};
  tiles.begin();
  for (int step = 0; step < Of::kStages - 2; ++step) tiles.start(step);
  for (int step = 0; step < steps.count; ++step) {
    cuda::wait_for_copies<Of::kStages - 3>();
    cuda::show_to_products();
    // The tiles of this step are there, and nobody reads those of two steps ago: who comes here has waited for them.
    __syncthreads();
    begin_step(sums, tiles.a(step) + group_m * kDepth<In>, tiles.b(step));
    tiles.start(step + Of::kStages - 2);
    cuda::wait_for_products<1>();
  }
  cuda::wait_for_products<0>();
  store_sums<Of>(s, c, sums, first_m, first_n, split, memory);
#else
  __trap();  // nobody is to take what C held for its result
#endif
}

// The same by the copy engine, which a thread of a warp of its own asks for each tile when all have read what is in its place.
template <typename Of, typename In, typename Out>
__global__ void __launch_bounds__(Of::kThreads, 1)
    wgmma_boxes(const __grid_constant__ CUtensorMap of_a, const __grid_constant__ CUtensorMap of_b, const Shape s, Out* c,
                const unsigned split, const int stages) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kTileA = Of::kM * kDepth<In>, kStage = kTileA + Of::kN * kDepth<In>;  // elements
  extern __shared__ __align__(1024) unsigned char memory[];
  __shared__ cuda::Arrivals there[Of::kMostStages], read[Of::kMostStages];
  if (threadIdx.x == 0)
    for (int i = 0; i < stages; ++i) there[i].begin(1), read[i].begin(kComputing / 32);
  __syncthreads();
  cuda::after_earlier();
  In* const tiles = reinterpret_cast<In*>(memory);
  const int first_m = Of::kM * static_cast<int>(blockIdx.y), first_n = Of::kN * static_cast<int>(blockIdx.x / split);
  const Steps steps = steps_of<In>(s, split);
  float sums[Of::kM / 128][Of::kN / 2] = {};
  int stage = 0;
  unsigned round = 0;
  const auto next = [&] {
    if (++stage == stages) stage = 0, ++round;
  };
  if (threadIdx.x >= kComputing) {
    if constexpr (!Of::kSharesK) cuda::leave_registers<24>();
    for (int step = 0; threadIdx.x == kComputing && step < steps.count; ++step, next()) {
      if (round > 0) read[stage].wait(round - 1);
      there[stage].arrive_expecting(kStage * sizeof(In));
      const int k = kDepth<In> * (steps.first + step * steps.apart), matrix = static_cast<int>(blockIdx.z);
      there[stage].copy_box(tiles + stage * kStage, &of_a, k, first_m, matrix, false);
      there[stage].copy_box(tiles + stage * kStage + kTileA, &of_b, k, first_n, matrix, false);
    }
    if constexpr (!Of::kSharesK) return;
  } else {
    if constexpr (!Of::kSharesK) cuda::take_registers<240>();
    const int group_m = static_cast<int>(threadIdx.x) / 128 * (Of::kM / 2);
    int before = 0;
    for (int step = 0; step < steps.count; ++step, next()) {
      there[stage].wait(round);
      begin_step(sums, tiles + stage * kStage + group_m * kDepth<In>, tiles + stage * kStage + kTileA);
      if (step > 0) {
        cuda::wait_for_products<1>();  // those of the step before are done
        if (threadIdx.x % 32 == 0) read[before].arrive();
      }
      before = stage;
    }
    cuda::wait_for_products<0>();
  }
  store_sums<Of>(s, c + blockIdx.z * s.batch_c, sums, first_m, first_n, split, memory);
#else
  __trap();  // nobody is to take what C held for its result
#endif
}

// `rows` × `columns` of C are a block's tile: what it reads from the L2 cache bounds it, for 256 × 128 85 operations a byte, for
// 128 × 128 64. Tiles of fewer columns are for few columns or rows of C, which are columns then. `split`: blocks that share K.
constexpr Tuning point(int64_t rows, int64_t columns, int64_t split) {
  return {{{{"columns", columns}, {"rows", rows}, {"split", split}}}};
}
constexpr Tuning kTunings[] = {point(128, 32, 1), point(128, 32, 2), point(128, 32, 4),  point(128, 32, 8),  point(128, 64, 1),
                               point(128, 64, 2), point(128, 64, 4), point(128, 128, 1), point(128, 128, 2), point(256, 128, 1)};

bool is_transposed(const MatmulShape& s, const Tuning& tuning) { return tuning["columns"] < 128 && s.m < s.n; }

int64_t tiles_of(const MatmulShape& s, const Tuning& tuning) {
  const bool transposed = is_transposed(s, tuning);
  return s.batch * split_up(transposed ? s.n : s.m, tuning["rows"]) * split_up(transposed ? s.m : s.n, tuning["columns"]);
}

class Wgmma final : public Kernel {
  // Calls function(tiling, kernel of tiles, kernel of boxes, In{}, Out{}). Before what uses it: its type is
  // deduced.
  template <typename Function>
  auto with_kernels(const Function& function) const {
    return cuda::with_16_bit_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      const auto with = [&]<typename Of>(Of) {
        return function(Of{}, wgmma_tiles<Of, In, Out>, wgmma_boxes<Of, In, Out>, in, out);
      };
      return rows_ == 256      ? with(Tiling<256, 128>{})
             : columns_ == 128 ? with(Tiling<128, 128>{})
             : columns_ == 64  ? with(Tiling<128, 64>{})
                               : with(Tiling<128, 32>{});
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Wgmma>(new Wgmma(problem, tuning, device));
    METALLIC_CHECK(kernel->with_kernels([]<typename Of>(Of, auto tiles, auto boxes, auto, auto) -> Status {
      METALLIC_CHECK(cuda::allow(tiles, Of::kStages * Of::kStageBytes));
      return cuda::allow(boxes, Of::kMostStages * Of::kStageBytes);
    }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.m == 0 || shape_.n == 0 || batch_ == 0) return Code::ok;
    const void *const a = args.in[transposed_ ? 1 : 0], *const b = args.in[transposed_ ? 0 : 1];
    CUtensorMap of_a, of_b;
    const bool mapped = shape_.k > 0 && cuda::make_tensor_map(of_a, a, rows_of(shape_.a), static_cast<uint32_t>(rows_)) &&
                        cuda::make_tensor_map(of_b, b, rows_of(shape_.b), static_cast<uint32_t>(columns_));
    return with_kernels([&]<typename Of, typename In, typename Out>(Of, auto tiles, auto boxes, In, Out) {
      const int stages = mapped && !many_blocks_ ? Of::kMostStages : Of::kStages;
      const auto split = static_cast<unsigned>(split_);
      const Grid grid{.blocks = dim3(static_cast<unsigned>(split_up(shape_.n, columns_) * split_),
                                     static_cast<unsigned>(split_up(shape_.m, rows_)), static_cast<unsigned>(batch_)),
                      .threads = static_cast<unsigned>(mapped ? Of::kThreads : kComputing),
                      .shared = static_cast<size_t>(stages) * Of::kStageBytes,
                      .cluster = split,
                      .early = true};
      auto* const c = static_cast<Out*>(args.out);
      if (mapped) return cuda::launch(boxes, grid, executor, of_a, of_b, shape_, c, split, stages);
      const auto *const in_a = static_cast<const In*>(a), *const in_b = static_cast<const In*>(b);
      return cuda::launch(tiles, grid, executor, shape_, in_a, in_b, c, copied_width(in_a, shape_.a, batch_),
                          copied_width(in_b, shape_.b, batch_), split);
    });
  }

 private:
  Wgmma(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        rows_(tuning["rows"]),
        columns_(tuning["columns"]),
        split_(tuning["split"]),
        transposed_(is_transposed(problem.matmul(), tuning)),
        many_blocks_(tiles_of(problem.matmul(), tuning) * split_ > device.cuda().num_sms / (columns_ == 32 ? 2 : 1)),
        batch_(problem.matmul().batch),
        shape_(transposed_ ? Shape(problem.matmul()).transposed() : Shape(problem.matmul())) {}

  cuda::RowsInMemory rows_of(const Matrix& matrix) const { return {matrix.rows, shape_.k, matrix.stride, batch_, matrix.batch}; }

  DType dtype_, out_dtype_;
  int64_t rows_, columns_, split_;  // the tuning
  bool transposed_;
  bool many_blocks_;  // which do not have a multiprocessor each, or hardly
  int64_t batch_;
  Shape shape_;
};

std::optional<std::string> refuses_sharing(const MatmulShape& s, const Tuning& tuning, const DeviceInfo& device) {
  return refuses_split(tuning["split"], split_up(s.k, kDepth<__half>), tiles_of(s, tuning), device);
}

// What a tuning takes, in steps of K of a tile of 128 × 128: as long as a block does, and longer where blocks wait for others;
// the copy engine's steps are short, and sharing them pays late. Fitted to 619 shapes that an H100's tune timed: 1.3 % slower
// than the best tuning of each.
double cost(const MatmulShape& s, const Tuning& tuning, const DeviceInfo& device) {
  const int64_t split = tuning["split"], columns = tuning["columns"];
  const bool large = tuning["rows"] == 256, copied = s.rows_begin_evenly(8);
  const double of_step = large ? 3.33 : columns == 128 ? 1 : columns == 64 ? 0.89 : 0.73;
  const double at_once = large ? 1 : columns == 128 ? 0.69 : columns == 64 ? 0.88 : 0.78;
  const double steps = static_cast<double>(split_up(split_up(s.k, kDepth<__half>), split)) + (copied ? 58.65 : 0.97);
  const double load = static_cast<double>(split * tiles_of(s, tuning)) / (static_cast<double>(device.cuda().num_sms) * at_once);
  return of_step * steps * std::max(1.0, load) + (split == 1 ? 0 : copied ? 1.63 : 0.7);
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
      const MatmulShape& s = problem.matmul();
      if (problem.dtype == DType::f32) return "takes 16-bit operands";
      if (s.ta || !s.tb) return "takes operands whose rows lie along K";
      if (s.batch > 65535) return "more matrices than a grid is deep";
      const bool transposed = is_transposed(s, tuning);
      if ((transposed ? s.n : s.m) > 65535 * tuning["rows"]) return "more rows than a grid has blocks";
      if ((transposed ? s.m : s.n) > int64_t{1} << 35) return "more columns than a grid has blocks";
      return refuses_sharing(s, tuning, device);
    },
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const MatmulShape& s = problem.matmul();
      const Tuning* best = nullptr;
      for (const Tuning& tuning : kTunings)
        if (!refuses_sharing(s, tuning, device) && (!best || cost(s, tuning, device) < cost(s, *best, device))) best = &tuning;
      return *best;
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Wgmma::make(problem, tuning, device); },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "rising_wgmma;" + of_split(tuning["split"]) + device.isa();
    },
};

}  // namespace metallic::matmul
