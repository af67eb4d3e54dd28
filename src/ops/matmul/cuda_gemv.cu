// matmul cuda_gemv: up to 16 columns, weights read once: warps of a block, and blocks of a cluster, share K of a few rows of
// weights, and their sums are added in a fixed order.
#include <algorithm>

#include "ops/variant.h"
#include "ops/cuda/cp_async.cuh"
#include "ops/cuda/element.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/mma.cuh"
#include "ops/matmul/gemv.cuh"

namespace metallic::matmul {
namespace {
using cuda::Chunk;
using cuda::from_float;
using cuda::Grid;
using cuda::kChunk;
using cuda::multiply_add;
using cuda::to_float;

constexpr int kMostWarps = 16;  // of a block

// The part of K, in steps of `step`, that warp `warp` of all `warps` of a cluster goes through: the step where it begins.
struct Turn {
  int64_t first, stride;
};
__device__ Turn turn(unsigned split, int step) {
  const int64_t warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp, part = blockIdx.x % split;
  return {(part * warps + warp) * step, split * warps * step};
}

constexpr int kStep = 64;  // K of a warp's step with tensor cores: 128 bytes of a row

// What a warp has of a step in shared memory: 16 bytes of each lane for each 32 K of eight rows of W or columns of X.
constexpr int64_t bytes_of_step(int tiles, int eights) { return int64_t{16 * kWarp} * (kStep / 32) * (2 * tiles + eights); }

// 16-bit rows along K that begin at multiples of 16 bytes, by tensor cores. A thread's 16 bytes of a row are not the elements
// that the instruction has there, but the same in W and X: the order of K within a sum is free. What is on its way is in a ring
// of shared memory, kStages steps of a warp, and takes no registers: in bursts of what registers hold reading the weights took
// 0.78 to 0.86 of the card's speed. Each thread reads what itself copied, so that nobody waits for others.
template <typename In, typename Out, int kTiles, int kEights, int kStages>
__global__ void __launch_bounds__(kWarp* kMostWarps)
    mma_rows(const Product p, const In* w, const In* x, Out* y, const unsigned split) {
  constexpr int kOf = kChunk<In>, kRows = 2 * kTiles, kDepth = kStep / 32, kChunks = kDepth * (kRows + kEights);
  cuda::after_earlier();
  extern __shared__ uint4 memory[];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, group = lane / 4, quarter = lane % 4;
  const int64_t first_row = blockIdx.x / split * int64_t{16 * kTiles};
  w += blockIdx.y * p.w_batch, x += blockIdx.y * p.x_batch, y += blockIdx.y * p.y_batch;
  const Turn mine = turn(split, kStep);
  // This thread's chunk `c` of stage `s` is ring[(s·kChunks + c)·32].
  uint4* const ring = memory + threadIdx.x / kWarp * (kStages * kChunks * kWarp) + lane;
  const In* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = w + min(first_row + 8 * r + group, p.big - 1) * p.w_row + kOf * quarter;
  const In* columns[kEights];
  bool there[kEights];
#pragma unroll
  for (int e = 0; e < kEights; ++e) {
    there[e] = 8 * e + group < p.n;
    columns[e] = x + (there[e] ? 8 * e + group : 0) * p.x_column + kOf * quarter * p.x_k;
  }
  const bool x_is_wide = p.x_k == 1 && (reinterpret_cast<uintptr_t>(x) | static_cast<uintptr_t>(2 * p.x_column)) % 16 == 0;

  const auto start = [&](int64_t begin, int stage) {
    uint4* to = ring + stage * kChunks * kWarp;
    if (begin < p.k) {
#pragma unroll
      for (int d = 0; d < kDepth; ++d) {
        const int64_t k = begin + 32 * d, left = p.k - k - kOf * quarter;
        const int count = left >= kOf ? kOf : left > 0 ? static_cast<int>(left) : 0;
#pragma unroll
        for (int r = 0; r < kRows; ++r, to += kWarp) cuda::start_copy<16>(to, count > 0 ? rows[r] + k : w, 2 * count);
#pragma unroll
        for (int e = 0; e < kEights; ++e, to += kWarp) {
          if (!there[e]) continue;
          if (x_is_wide) {
            cuda::start_copy<16>(to, count > 0 ? columns[e] + k : x, 2 * count);
          } else {
            Chunk<In> chunk;
#pragma unroll
            for (int i = 0; i < kOf; ++i) chunk.at[i] = i < count ? columns[e][(k + i) * p.x_k] : from_float<In>(0);
            *to = chunk.bits;
          }
        }
      }
    }
    cuda::end_copies();
  };
  // Columns that are not there stay zero.
#pragma unroll
  for (int e = 0; e < kEights; ++e)
    if (!there[e])
      for (int i = 0; i < kStages * kDepth; ++i) ring[(i * (kRows + kEights) + kRows + e) * kWarp] = uint4{};
  for (int s = 0; s < kStages; ++s) start(mine.first + s * mine.stride, s);

  float sums[kTiles][kEights][4] = {};
  int stage = 0;
  for (int64_t begin = mine.first; begin < p.k; begin += mine.stride) {
    cuda::wait_for_copies<kStages - 1>();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      uint4 chunks[kRows + kEights];
#pragma unroll
      for (int c = 0; c < kRows + kEights; ++c) chunks[c] = ring[(stage * kChunks + d * (kRows + kEights) + c) * kWarp];
      if (d == kDepth - 1) start(begin + kStages * mine.stride, stage);
#pragma unroll
      for (int t = 0; t < kTiles; ++t)
#pragma unroll
        for (int e = 0; e < kEights; ++e) {
          const uint4 &low = chunks[2 * t], &high = chunks[2 * t + 1], &b = chunks[kRows + e];
          multiply_add<In>(sums[t][e], low.x, high.x, low.y, high.y, b.x, b.y);
          multiply_add<In>(sums[t][e], low.z, high.z, low.w, high.w, b.z, b.w);
        }
    }
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
  cuda::wait_for_copies<0>();
  finish<16 * kTiles, 8 * kEights>(
      p, y, first_row, split, static_cast<int>(blockDim.x) / kWarp, reinterpret_cast<float*>(memory), [&](float* to) {
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
#pragma unroll
          for (int e = 0; e < kEights; ++e)
#pragma unroll
            for (int i = 0; i < 4; ++i)
              to[(16 * t + 8 * (i / 2) + group) * 8 * kEights + 8 * e + 2 * quarter + i % 2] = sums[t][e][i];
      });
}

// Rows along K of any type at any place: dot products.
template <typename In, typename Out, int kColumns>
__global__ void __launch_bounds__(512) dot_rows(const Product p, const In* w, const In* x, Out* y, const unsigned split) {
  constexpr int kRows = 4, kOf = 4;  // elements that a lane takes at once
  cuda::after_earlier();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t first_row = blockIdx.x / split * int64_t{kRows};
  w += blockIdx.y * p.w_batch, x += blockIdx.y * p.x_batch, y += blockIdx.y * p.y_batch;
  const auto read = [&](float(&to)[kOf], const In* from, int64_t step, int64_t k) {
    if constexpr (std::is_same_v<In, float>)
      if (step == 1 && k + kOf <= p.k && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
        // Not by __ldg: what lies there may be written until after_earlier has waited.
        const float4 all = *reinterpret_cast<const float4*>(from);
        to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
        return;
      }
#pragma unroll
    for (int i = 0; i < kOf; ++i) to[i] = k + i < p.k ? to_float(from[i * step]) : 0;
  };
  float sums[kRows][kColumns] = {};
  const Turn mine = turn(split, kWarp * kOf);
  for (int64_t begin = mine.first; begin < p.k; begin += mine.stride) {
    const int64_t k = begin + kOf * lane;
    float of_w[kRows][kOf];
#pragma unroll
    for (int r = 0; r < kRows; ++r) read(of_w[r], w + min(first_row + r, p.big - 1) * p.w_row + k, 1, k);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (c >= p.n) break;
      float of_x[kOf];
      read(of_x, x + c * p.x_column + k * p.x_k, p.x_k, k);
#pragma unroll
      for (int r = 0; r < kRows; ++r)
#pragma unroll
        for (int i = 0; i < kOf; ++i) sums[r][c] = fmaf(of_w[r][i], of_x[i], sums[r][c]);
    }
  }
  extern __shared__ float tiles[];
  finish<kRows, kColumns>(p, y, first_row, split, static_cast<int>(blockDim.x) / kWarp, tiles, [&](float* to) {
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        float sum = sums[r][c];
        for (int step = kWarp / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (lane == 0) to[r * kColumns + c] = sum;
      }
  });
}

// Rows along `big`: each lane has four of the results, and goes through K.
template <typename In, typename Out, int kColumns>
__global__ void __launch_bounds__(512) scaled_rows(const Product p, const In* w, const In* x, Out* y, const unsigned split) {
  constexpr int kOf = 4, kRows = kWarp * kOf, kStep = 8;
  cuda::after_earlier();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t first_row = blockIdx.x / split * int64_t{kRows}, at = first_row + kOf * lane;
  w += blockIdx.y * p.w_batch, x += blockIdx.y * p.x_batch, y += blockIdx.y * p.y_batch;
  extern __shared__ float tiles[];
  float* of_x = tiles + warp * kStep * kColumns;  // until the tiles are there
  float sums[kOf][kColumns] = {};
  const Turn mine = turn(split, kStep);
  for (int64_t begin = mine.first; begin < p.k; begin += mine.stride) {
    __syncwarp();
    for (int i = lane; i < kStep * kColumns; i += kWarp) {
      const int64_t k = begin + i / kColumns, c = i % kColumns;
      of_x[i] = k < p.k && c < p.n ? to_float(x[k * p.x_k + c * p.x_column]) : 0;
    }
    union {
      uint4 wide;
      uint2 narrow;
      In at[16 / sizeof(In)];
    } of_w[kStep];
#pragma unroll
    for (int s = 0; s < kStep; ++s) {
      const In* from = w + (begin + s) * p.w_row + at;
      const bool whole = begin + s < p.k && at + kOf <= p.big && reinterpret_cast<uintptr_t>(from) % (kOf * sizeof(In)) == 0;
      if (whole) {
        if constexpr (sizeof(In) == 4)
          of_w[s].wide = __ldcs(reinterpret_cast<const uint4*>(from));
        else
          of_w[s].narrow = __ldcs(reinterpret_cast<const uint2*>(from));
      } else {
#pragma unroll
        for (int i = 0; i < kOf; ++i) of_w[s].at[i] = begin + s < p.k && at + i < p.big ? from[i] : from_float<In>(0);
      }
    }
    __syncwarp();
#pragma unroll
    for (int s = 0; s < kStep; ++s)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const float factor = of_x[s * kColumns + c];
#pragma unroll
        for (int i = 0; i < kOf; ++i) sums[i][c] = fmaf(to_float(of_w[s].at[i]), factor, sums[i][c]);
      }
  }
  finish<kRows, kColumns>(p, y, first_row, split, static_cast<int>(blockDim.x) / kWarp, tiles, [&](float* to) {
#pragma unroll
    for (int i = 0; i < kOf; ++i)
#pragma unroll
      for (int c = 0; c < kColumns; ++c) to[(kOf * lane + i) * kColumns + c] = sums[i][c];
  });
}

// Of 42 that were timed on weights of eight sizes (H100 and H200), those without which one lost 0.1 % or more, less those that
// only won where cuda_gemv_tma does since. Without tensor cores, six of them.
constexpr Tuning kTunings[] = {
    {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 4}}}},  {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 1}, {"stages", 2}, {"warps", 16}}}}, {{{{"rows", 16}, {"split", 2}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 4}, {"stages", 2}, {"warps", 8}}}},  {{{{"rows", 16}, {"split", 8}, {"stages", 2}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 1}, {"stages", 4}, {"warps", 16}}}}, {{{{"rows", 16}, {"split", 2}, {"stages", 4}, {"warps", 8}}}},
    {{{{"rows", 16}, {"split", 4}, {"stages", 4}, {"warps", 8}}}},  {{{{"rows", 32}, {"split", 1}, {"stages", 4}, {"warps", 4}}}},
    {{{{"rows", 32}, {"split", 1}, {"stages", 4}, {"warps", 8}}}}};

// Whether tensor cores may take it, as far as strides tell.
bool takes_mma(const Problem& problem) {
  const MatmulShape& s = problem.matmul();
  const Product p(s);
  return problem.dtype != DType::f32 && along_k(s) && p.w_row % 8 == 0 && (s.batch == 1 || p.w_batch % 8 == 0);
}

// Columns that a kernel without tensor cores is made for, of those that it computes.
int columns_for(int64_t n) { return n == 1 ? 1 : n <= 4 ? 4 : n <= 8 ? 8 : 16; }

class Gemv final : public Kernel {
  // Calls function(kernel, rows and columns of its tile, bytes of a warp's ring, In{}, Out{}). Before what uses it: its type is
  // deduced.
  template <typename Function>
  auto with_kernel(bool aligned, const Function& function) const {
    return cuda::with_types(dtype_, out_dtype_, [&]<typename In, typename Out>(In in, Out out) {
      if constexpr (!std::is_same_v<In, float>)
        if (mma_ && aligned) {
          const auto with_eights = [&]<int kEights>() {
            const auto with_tiles = [&]<int kTiles>() {
              const int64_t ring = stages_ * bytes_of_step(kTiles, kEights);
              return stages_ == 4 ? function(mma_rows<In, Out, kTiles, kEights, 4>, 16 * kTiles, 8 * kEights, ring, in, out)
                                  : function(mma_rows<In, Out, kTiles, kEights, 2>, 16 * kTiles, 8 * kEights, ring, in, out);
            };
            return rows_ == 32 ? with_tiles.template operator()<2>() : with_tiles.template operator()<1>();
          };
          return product_.n <= 8 ? with_eights.template operator()<1>() : with_eights.template operator()<2>();
        }
      const auto with_columns = [&]<int kColumns>() {
        return along_k(shape_) ? function(dot_rows<In, Out, kColumns>, 4, kColumns, int64_t{0}, in, out)
                               : function(scaled_rows<In, Out, kColumns>, 4 * kWarp, kColumns, int64_t{0}, in, out);
      };
      switch (columns_for(product_.n)) {
        case 1: return with_columns.template operator()<1>();
        case 4: return with_columns.template operator()<4>();
        case 8: return with_columns.template operator()<8>();
        default: return with_columns.template operator()<16>();
      }
    });
  }

 public:
  static Result<std::unique_ptr<const Kernel>> make(const Problem& problem, const Tuning& tuning, const DeviceInfo& device) {
    auto kernel = std::unique_ptr<Gemv>(new Gemv(problem, tuning, device));
    // As much as any plan wants: the limit is the kernel's, which other plans run too.
    for (const bool aligned : {true, false})
      METALLIC_CHECK(kernel->with_kernel(aligned, [&](auto function, int, int, int64_t, auto, auto) {
        return cuda::allow(function, static_cast<size_t>(device.cuda().smem_per_block));
      }));
    return kernel;
  }

  Code run(const Args& args, std::byte*, Executor& executor) const override {
    if (shape_.batch == 0 || shape_.small() == 0) return Code::ok;
    const void* w = args.in[shape_.weights_in_a() ? 0 : 1];
    const void* x = args.in[shape_.weights_in_a() ? 1 : 0];
    return with_kernel(reinterpret_cast<uintptr_t>(w) % 16 == 0, [&]<typename In, typename Out>(
                                                                     auto kernel, int rows, int columns, int64_t ring, In, Out) {
      const int64_t tiles = (product_.big + rows - 1) / rows;
      const Grid grid = {.blocks = dim3(static_cast<unsigned>(tiles * split_), static_cast<unsigned>(shape_.batch)),
                         .threads = static_cast<unsigned>(kWarp * warps_),
                         .shared = static_cast<size_t>(warps_ * std::max<int64_t>(ring, 4 * rows * columns)),
                         .cluster = static_cast<unsigned>(split_),
                         .early = early_};
      return cuda::launch(kernel, grid, executor, product_, static_cast<const In*>(w), static_cast<const In*>(x),
                          static_cast<Out*>(args.out), grid.cluster);
    });
  }

 private:
  Gemv(const Problem& problem, const Tuning& tuning, const DeviceInfo& device)
      : shape_(problem.matmul()),
        dtype_(problem.dtype),
        out_dtype_(problem.out_dtype),
        mma_(takes_mma(problem)),
        rows_(tuning["rows"]),
        stages_(tuning["stages"]),
        split_(tuning["split"]),
        warps_(tuning["warps"]),
        early_(cuda::can_begin_early(device)),
        product_(problem.matmul()) {}

  MatmulShape shape_;
  DType dtype_, out_dtype_;
  bool mma_;
  int64_t rows_, stages_, split_, warps_;  // the tuning
  bool early_;
  Product product_;
};

// The tuning with so many warps for a tile of rows, with the ring's `stages`.
const Tuning& with_warps(int64_t rows, int64_t split, int64_t warps, int64_t stages) {
  for (const Tuning& tuning : kTunings)
    if (tuning["rows"] == rows && tuning["split"] == split && tuning["warps"] == warps && tuning["stages"] == stages)
      return tuning;
  return kTunings[0];
}

const Tuning& prefers(const Problem& problem, const DeviceInfo& device) {
  const MatmulShape& s = problem.matmul();
  const bool mma = takes_mma(problem), clusters = device.cuda().sm_version >= 90;
  const int64_t rows = mma ? 16 : along_k(s) ? 4 : 4 * kWarp, tiles = s.batch * ((s.big() + rows - 1) / rows);
  if (along_k(s) && !mma) {
    // As many warps for a tile as K has steps, or as eight blocks of each multiprocessor leave it. On 1022 shapes that an H200's
    // tune timed, 3.5 % slower than the best tuning of each, most of it where tensor cores take it too.
    const int64_t wanted = std::min((s.k + kWarp * 4 - 1) / (kWarp * 4), device.cuda().num_sms * 8 / std::max<int64_t>(tiles, 1));
    if (wanted <= 16 || !clusters) return with_warps(16, 1, wanted <= 4 ? 4 : wanted <= 8 ? 8 : 16, 2);
    return with_warps(16, wanted <= 32 ? 4 : 8, 8, 2);
  }
  // Two blocks for each multiprocessor, by sharing K where rows are few: among more where each goes through K alone.
  const int64_t split = !clusters || tiles >= device.cuda().num_sms ? 1
                        : 2 * tiles >= device.cuda().num_sms        ? 2
                        : mma || 4 * tiles >= device.cuda().num_sms ? 4
                                                          : 8;
  return with_warps(mma && split == 1 ? 32 : 16, split, 8, mma ? 4 : 2);
}

}  // namespace

extern const Variant cuda_gemv = {
    .family = "gemv",
    .tunings = kTunings,
    .rejects = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      if (auto reason = refuses_columns(problem, device)) return reason;
      if (tuning["split"] > 1 && device.cuda().sm_version < 90) return "clusters of blocks need compute capability 9.0";
      if (takes_mma(problem)) {
        const int64_t step = bytes_of_step(static_cast<int>(tuning["rows"] / 16), problem.matmul().small() <= 8 ? 1 : 2);
        if (tuning["warps"] * tuning["stages"] * step > device.cuda().smem_per_block) return "a block has less shared memory";
      } else {
        if (tuning["rows"] != 16 || tuning["stages"] != 2) return "only for tensor cores";
        const int64_t rows = along_k(problem.matmul()) ? 4 : 4 * kWarp, columns = columns_for(problem.matmul().small());
        if (tuning["warps"] * rows * columns * 4 > device.cuda().smem_per_block) return "a block has less shared memory";
      }
      return std::nullopt;
    },
    .prefer = prefers,
    .prepare = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device,
                  Planner&) { return Gemv::make(problem, tuning, device); },
    // Tensor cores or not depends on where operands lie, and so does the order.
    .reduction_id = [](const Problem& problem, const Tuning& tuning, const DeviceInfo& device) -> std::optional<std::string> {
      return (takes_mma(problem)          ? "mma;"
              : along_k(problem.matmul()) ? "dot;"
                                          : "scaled_rows;") +
             to_string(tuning) + ";" + device.isa();
    },
};

}  // namespace metallic::matmul
