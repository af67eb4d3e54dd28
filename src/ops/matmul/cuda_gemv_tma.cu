// matmul cuda_gemv_tma: up to 16 columns on tensor cores, weights read once by Hopper's copy engine: one thread asks for boxes of
// weights and columns, warps share K of each, and their sums are added in a fixed order.
#include <algorithm>

#include "ops/variant.h"
#include "ops/cuda/mbarrier.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/cuda/tensor_map.h"
#include "ops/matmul/gemv.cuh"
#include "ops/matmul/tiles.cuh"

namespace metallic::matmul {
namespace {
using cuda::Arrivals;
using cuda::Grid;

constexpr int kComputing = 4;                       // warps
constexpr int kOfWarp = kDepth<__half>;             // K of a box
constexpr int kStep = kComputing * kOfWarp;         // K of a stage, which has a box for each warp
constexpr int kThreads = kWarp * (kComputing + 1);  // the last warp copies
constexpr int kMostStages = 8;

// Bytes of a stage: `rows` of weights and 8 or 16 columns.
constexpr int64_t stage_bytes(int64_t rows, int64_t columns) { return (rows + (columns <= 8 ? 8 : 16)) * 2 * kStep; }

// B of 8 columns × 32 K: two pairs of fragments.
template <typename T>
__device__ void columns_fragments(unsigned (&to)[4], const T* tile, int k) {
  using Of = Tile<T, 8, true>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto address = cuda::shared_place(tile + Of::place(lane % 8, k / 8 + lane / 8));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(address));
}

// A stage without the copy engine, for tensors that do not begin at multiples of 16 bytes: by a warp, element by element.
template <int kRows, int kColumns, typename In>
__device__ void copy_elements(const Product& p, const In* w, const In* x, In* stage, int64_t first_row, int64_t first_k) {
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < kComputing * (kRows + kColumns) * kOfWarp; i += kWarp) {
    const int box = i / ((kRows + kColumns) * kOfWarp), line = i / kOfWarp % (kRows + kColumns), column = i % kOfWarp;
    const bool is_weight = line < kRows;
    const int own = is_weight ? line : line - kRows;
    const int64_t k = first_k + kOfWarp * box + column, row = is_weight ? first_row + own : own;
    In value = cuda::from_float<In>(0);
    if (k < p.k && row < (is_weight ? p.big : p.n))
      value = is_weight ? w[blockIdx.y * p.w_batch + row * p.w_row + k] : x[blockIdx.y * p.x_batch + row * p.x_column + k];
    In* const to = stage + ((kRows + kColumns) * box + (is_weight ? 0 : kRows)) * kOfWarp;
    to[Tile<In, kRows, true>::place(own, column / 8) + column % 8] = value;
  }
}

// Bytes of a block's shared memory: its stages, and its warps' tiles.
constexpr int64_t shared_bytes(const Tuning& tuning, int64_t columns) {
  return tuning["stages"] * stage_bytes(tuning["rows"], columns) + 4 * kComputing * tuning["rows"] * (columns <= 8 ? 8 : 16);
}

// A block goes through tiles of kRows of the weights, one if it is of a cluster; `stages` of boxes are on their way or in use,
// the next tile's while this one's sums are added.
template <typename In, typename Out, int kRows, int kEights>
__global__ void __launch_bounds__(kThreads)
    tma_rows(const __grid_constant__ CUtensorMap of_w, const __grid_constant__ CUtensorMap of_x, const Product p, const In* w,
             const In* x, Out* y, const unsigned split, const int stages, const bool mapped) {
  constexpr int kColumns = 8 * kEights, kTiles = kRows / 16;
  constexpr int kBoxW = kRows * kOfWarp, kBox = kBoxW + kColumns * kOfWarp, kStage = kComputing * kBox;  // elements
  extern __shared__ __align__(1024) unsigned char memory[];
  __shared__ Arrivals there[kMostStages], read[kMostStages];
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const auto part = static_cast<int>(blockIdx.x % split), apart = static_cast<int>(split);
  y += blockIdx.y * p.y_batch;
  // Tiles are gone through from different steps on: where all read the same one of long rows that lie a power of two apart, they
  // asked for the same few channels of the memory (14336 and 28672 K in bf16: 5 % slower).
  const int steps = static_cast<int>((p.k + kStep - 1) / kStep);
  const int count = part < steps ? (steps - part + apart - 1) / apart : 0;
  int stage = 0;
  unsigned round = 0;
  // Calls function(step) for the steps of a tile, each in the next stage.
  const auto for_steps = [&](int tile, const auto& function) {
    int step = count > 0 ? part + tile % count * apart : 0;
    for (int i = 0; i < count; ++i) {
      function(step);
      if ((step += apart) >= steps) step = part;
      if (++stage == stages) stage = 0, ++round;
    }
  };
  const int tiles = static_cast<int>((p.big + kRows - 1) / kRows), first_tile = static_cast<int>(blockIdx.x / split);
  const int tiles_apart = static_cast<int>(gridDim.x / split);
  float* const of_warps = reinterpret_cast<float*>(memory + stages * kStage * sizeof(In));
  In* const all = reinterpret_cast<In*>(memory);
  if (threadIdx.x == 0)
    for (int s = 0; s < stages; ++s) there[s].begin(1), read[s].begin(kComputing);
  __syncthreads();
  cuda::after_earlier();

  float sums[kTiles][kEights][4] = {};
  const auto put = [&](float* to) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
#pragma unroll
      for (int e = 0; e < kEights; ++e)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          to[(16 * t + 8 * (i / 2) + lane / 4) * kColumns + 8 * e + 2 * (lane % 4) + i % 2] = sums[t][e][i], sums[t][e][i] = 0;
  };
  if (warp == kComputing) {
    for (int tile = first_tile; tile < tiles; tile += tiles_apart)
      for_steps(tile, [&](int step) {
        if (round > 0) read[stage].wait(round - 1);
        In* const to = all + stage * kStage;
        if (!mapped) {
          copy_elements<kRows, kColumns>(p, w, x, to, kRows * tile, kStep * step);
          __syncwarp();
          if (lane == 0) there[stage].arrive();
        } else if (lane == 0) {
          there[stage].arrive_expecting(kStage * sizeof(In));
          for (int box = 0; box < kComputing; ++box) {
            const int k = kStep * step + kOfWarp * box;
            there[stage].copy_box(to + box * kBox, &of_w, k, kRows * tile, static_cast<int>(blockIdx.y), true);
            there[stage].copy_box(to + box * kBox + kBoxW, &of_x, k, 0, static_cast<int>(blockIdx.y), false);
          }
        }
      });
  } else {
    for (int tile = first_tile; tile < tiles; tile += tiles_apart) {
      for_steps(tile, [&](int) {
        const In *const own_w = all + stage * kStage + warp * kBox, *const own_x = own_w + kBoxW;
        there[stage].wait(round);
#pragma unroll
        for (int k = 0; k < kOfWarp; k += 32) {
          unsigned weights[2][kTiles][4], columns[2][4];
#pragma unroll
          for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int t = 0; t < kTiles; ++t) Tile<In, kRows, true>::fragments(weights[half][t], own_w, 16 * t, k + 16 * half);
          if constexpr (kEights == 1)
            columns_fragments(columns[0], own_x, k);
          else
#pragma unroll
            for (int half = 0; half < 2; ++half) Tile<In, 16, true>::fragments(columns[half], own_x, 0, k + 16 * half);
#pragma unroll
          for (int half = 0; half < 2; ++half)
#pragma unroll
            for (int t = 0; t < kTiles; ++t)
#pragma unroll
              for (int e = 0; e < kEights; ++e) {
                const unsigned(&a)[4] = weights[half][t];
                const unsigned low = kEights == 1 ? columns[0][2 * half] : columns[half][e];
                const unsigned high = kEights == 1 ? columns[0][2 * half + 1] : columns[half][e + 2];
                cuda::multiply_add<In>(sums[t][e], a[0], a[1], a[2], a[3], low, high);
              }
        }
        __syncwarp();
        if (lane == 0) read[stage].arrive();
      });
      if (split == 1)
        finish<kRows, kColumns>(p, y, int64_t{kRows} * tile, 1, kComputing, kComputing * kWarp, of_warps, put, [] {
          asm volatile("bar.sync 1, %0;" ::"n"(kComputing * kWarp) : "memory");
        });
    }
  }
  if (split > 1) finish<kRows, kColumns>(p, y, int64_t{kRows} * first_tile, split, kComputing, of_warps, put);
}

// Of 18 on the anchors' weights {32, 1, 4} is within 3 % of the best for most; the others are for few or many rows of weights.
constexpr Tuning kTunings[] = {{{{{"rows", 32}, {"split", 1}, {"stages", 4}}}}, {{{{"rows", 32}, {"split", 2}, {"stages", 4}}}},
                               {{{{"rows", 32}, {"split", 4}, {"stages", 4}}}}, {{{{"rows", 32}, {"split", 1}, {"stages", 3}}}},
                               {{{{"rows", 32}, {"split", 1}, {"stages", 8}}}}, {{{{"rows", 16}, {"split", 1}, {"stages", 4}}}},
                               {{{{"rows", 64}, {"split", 1}, {"stages", 4}}}}};

constexpr size_t kSmallRows = 5;
static_assert(kTunings[kSmallRows]["rows"] == 16);

constexpr int64_t kBeside = 2048;  // bytes of a block's shared memory that hold no boxes

cuda::RowsInMemory weights_of(const Product& p, int64_t batch) { return {p.big, p.k, p.w_row, batch, p.w_batch}; }
cuda::RowsInMemory columns_of(const Product& p, int64_t batch) { return {p.n, p.k, p.x_column, batch, p.x_batch}; }

class GemvTma final : public Kernel {
  // Calls function(kernel, In{}, Out{}). Before what uses it: its type is deduced.
  template <typename Function>
  auto with_kernel(const Function& function) const {
    return cuda::with_16_bit_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      const auto with_rows = [&]<int kEights>() {
        return rows_ == 64   ? function(tma_rows<In, Out, 64, kEights>, in, out)
               : rows_ == 32 ? function(tma_rows<In, Out, 32, kEights>, in, out)
                             : function(tma_rows<In, Out, 16, kEights>, in, out);
      };
      return product_.n <= 8 ? with_rows.template operator()<1>() : with_rows.template operator()<2>();
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<GemvTma>(new GemvTma(problem, tuning));
    // As much as any plan wants: the limit is the kernel's, which other plans run too.
    METALLIC_CHECK(kernel->with_kernel([&](auto function, auto, auto) -> Status {
      METALLIC_CHECK(cuda::allow(function, static_cast<size_t>(device.cuda().smem_per_block - kBeside)));
      if (kernel->split_ == 1) {
        METALLIC_TRY(kernel->at_once_, cuda::at_once(function, kernel->grid(), device));
      }
      return {};
    }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (batch_ == 0 || product_.n == 0) return Code::ok;
    const void* w = args.in[in_a_ ? 0 : 1];
    const void* x = args.in[in_a_ ? 1 : 0];
    CUtensorMap of_w{}, of_x{};
    const bool mapped = product_.k > 0 &&
                        cuda::make_tensor_map(of_w, w, weights_of(product_, batch_), static_cast<uint32_t>(rows_)) &&
                        cuda::make_tensor_map(of_x, x, columns_of(product_, batch_), product_.n <= 8 ? 8 : 16);
    return with_kernel([&]<typename In, typename Out>(auto kernel, In, Out) {
      return cuda::launch(kernel, grid(), executor, of_w, of_x, product_, static_cast<const In*>(w), static_cast<const In*>(x),
                          static_cast<Out*>(args.out), static_cast<unsigned>(split_), static_cast<int>(stages_), mapped);
    });
  }

 private:
  GemvTma(const Problem& problem, const Tuning& tuning)
      : dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        in_a_(problem.matmul().weights_in_a()),
        batch_(problem.matmul().batch),
        rows_(tuning["rows"]),
        split_(tuning["split"]),
        stages_(tuning["stages"]),
        product_(problem.matmul()),
        shared_(static_cast<size_t>(shared_bytes(tuning, product_.n))) {}

  // Blocks go from tile to tile: there are no more than run at once.
  Grid grid() const {
    const int64_t tiles = (product_.big + rows_ - 1) / rows_;
    const int64_t blocks = at_once_ > 0 ? std::min<int64_t>(tiles, std::max<int64_t>(at_once_ / batch_, 1)) : tiles;
    return {.blocks = dim3(static_cast<unsigned>(blocks * split_), static_cast<unsigned>(batch_)),
            .threads = kThreads,
            .shared = shared_,
            .cluster = static_cast<unsigned>(split_),
            .early = true};
  }

  DType dtype_, out_dtype_;
  bool in_a_;
  int64_t batch_, rows_, split_, stages_;
  Product product_;
  size_t shared_;
  unsigned at_once_ = 0;  // blocks, where they are of no cluster
};

}  // namespace

extern const Variant cuda_gemv_tma = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = refuses_columns(problem, device)) return reason;
      if (device.cuda().sm_version < 90) return "needs the copy engine of compute capability 9.0";
      const MatmulShape& s = problem.matmul();
      const Product p(s);
      if (problem.dtype == DType::f32 || !along_k(s) || p.x_k != 1) return "takes 16-bit operands whose rows lie along K";
      if (!cuda::takes_tensor_map(weights_of(p, s.batch)) || !cuda::takes_tensor_map(columns_of(p, s.batch)))
        return "takes rows that begin at multiples of 16 bytes";
      if (shared_bytes(tuning, s.small()) > device.cuda().smem_per_block - kBeside) return "a block has less shared memory";
      return std::nullopt;
    },
    // On 106 shapes that an H200's tune timed, 1.5 % slower than the best tuning of each.
    .prefer = [](const Problem& problem, const DeviceInfo& device) -> const Tuning& {
      const MatmulShape& s = problem.matmul();
      const int64_t blocks = s.batch * ((s.big() + 31) / 32);
      if (s.k < 4 * kStep) return kTunings[2 * blocks <= device.cuda().num_sms / 2 ? kSmallRows : 0];  // sharing K does not pay
      return kTunings[2 * blocks >= device.cuda().num_sms ? 0 : 4 * blocks >= device.cuda().num_sms || s.k < 8 * kStep ? 1 : 2];
    },
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return GemvTma::make(problem, tuning, device); },
    .reduction_id = [](const Problem&, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return "tma;" + to_string(tuning) + ";" + device.isa();
    },
};

}  // namespace metallic::matmul
