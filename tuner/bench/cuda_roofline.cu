// SPDX-License-Identifier: Apache-2.0
#include "tuner/bench/cuda_roofline.h"

#include <algorithm>
#include <limits>

#include "device/cuda/memory.h"
#include "ops/cuda/launch.cuh"
#include "ops/matmul/shape.h"
#include "ops/operation.h"
#include "ops/softmax/shape.h"

namespace metallic::cuda {
namespace {

constexpr int kThreads = 512, kUnroll = 4, kBlocksPerSm = 4;

// Each thread has kUnroll loads in flight. The store never happens, but keeps the compiler from removing the loads.
__global__ void __launch_bounds__(kThreads) read(const uint4* from, size_t count, unsigned* never) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  unsigned sum = 0;
  for (; i + (kUnroll - 1) * stride < count; i += kUnroll * stride) {
    uint4 all[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) all[u] = __ldcs(from + i + u * stride);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) sum += all[u].x ^ all[u].y ^ all[u].z ^ all[u].w;
  }
  for (; i < count; i += stride) {
    const uint4 one = __ldcs(from + i);
    sum += one.x ^ one.y ^ one.z ^ one.w;
  }
  if (sum == 0x12345678u && count == 0) *never = sum;
}

// Each block copies a contiguous part: 0.9 of the time of a grid-stride loop (H100, 2 GB).
__global__ void __launch_bounds__(kThreads) copy(const uint4* from, uint4* to, size_t count) {
  const size_t first = static_cast<size_t>(blockIdx.x) * kThreads * kUnroll + threadIdx.x;
  uint4 all[kUnroll];
#pragma unroll
  for (int u = 0; u < kUnroll; ++u)
    if (first + u * kThreads < count) all[u] = __ldcs(from + first + u * kThreads);
#pragma unroll
  for (int u = 0; u < kUnroll; ++u)
    if (first + u * kThreads < count) __stcs(to + first + u * kThreads, all[u]);
}

__global__ void multiply_add(float* never, int rounds) {
  constexpr int kChains = 8;
  float sums[kChains][4] = {};
  const unsigned one = 0x3f803f80u + threadIdx.x;  // random bits would draw more power, which lowers the clock
  for (int round = 0; round < rounds; ++round)
#pragma unroll
    for (int chain = 0; chain < kChains; ++chain)
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4}, {%0,%1,%2,%3};"
                   : "+f"(sums[chain][0]), "+f"(sums[chain][1]), "+f"(sums[chain][2]), "+f"(sums[chain][3])
                   : "r"(one));
  float sum = 0;
  for (const auto& of_chain : sums) sum += of_chain[0] + of_chain[1] + of_chain[2] + of_chain[3];
  if (sum == -1) *never = sum;
}

// Blocks to read `count` chunks: kBlocksPerSm for each SM, but no more than there is work for.
dim3 blocks_to_read(size_t count, const DeviceInfo& device) {
  const size_t wanted = (count + kThreads - 1) / kThreads, most = static_cast<size_t>(kBlocksPerSm * device.cuda().num_sms);
  return dim3(static_cast<unsigned>(std::clamp<size_t>(wanted, 1, most)));
}

dim3 blocks_to_copy(size_t count) {
  constexpr size_t kBlockChunks = kThreads * kUnroll;
  return dim3(static_cast<unsigned>(std::max<size_t>((count + kBlockChunks - 1) / kBlockChunks, 1)));
}

class Mover final : public Kernel {
 public:
  Mover(const Problem& problem, const DeviceInfo& device) : device_(device), copies_(problem.op()->writes_as_much_as_it_reads) {
    operand_ = problem.shape.holds<MatmulShape>() && !problem.as<MatmulShape>().weights_in_a() ? 1 : 0;
    const auto bytes = operand_bytes(problem);
    chunks_ = static_cast<size_t>(bytes[static_cast<size_t>(operand_)]) / 16;
  }
  Code run(const Args& args, std::byte*, Executor& executor) const override {
    const LaunchConfig config{.grid = copies_ ? blocks_to_copy(chunks_) : blocks_to_read(chunks_, device_), .block = kThreads};
    const auto* from = static_cast<const uint4*>(args.in[operand_]);
    if (copies_) return launch_kernel(copy, config, executor, from, static_cast<uint4*>(args.out), chunks_);
    return launch_kernel(read, config, executor, from, chunks_, static_cast<unsigned*>(args.out));
  }

 private:
  DeviceInfo device_;
  bool copies_;
  int operand_;
  size_t chunks_;
};

}  // namespace

std::unique_ptr<const Kernel> mover(const Problem& problem, const DeviceInfo& device) {
  return std::make_unique<Mover>(problem, device);
}

Result<Roofline> measure_roofline(const DeviceInfo& device, Executor& executor) {
  const auto stream = static_cast<cudaStream_t>(executor.stream());
  const auto bytes =
      static_cast<size_t>(std::clamp<int64_t>(8 * device.cuda().l2_bytes, 64 << 20, device.memory_bytes / 8)) / 16 * 16;
  METALLIC_TRY(const Memory from, Memory::allocate(bytes));
  METALLIC_TRY(const Memory to, Memory::allocate(bytes));
  METALLIC_CUDA(cudaMemset(from.data(), 0x5a, bytes));
  cudaEvent_t begin, end;
  METALLIC_CUDA(cudaEventCreate(&begin));
  METALLIC_CUDA(cudaEventCreate(&end));
  const auto least_seconds = [&](const auto& run) -> Result<double> {
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 7; ++i) {
      METALLIC_CUDA(cudaEventRecord(begin, stream));
      if (const Code code = run(); code != Code::ok) return fail(code, "{} cannot be measured", in_quotes(device.id));
      METALLIC_CUDA(cudaEventRecord(end, stream));
      METALLIC_CUDA(cudaEventSynchronize(end));
      float ms = 0;
      METALLIC_CUDA(cudaEventElapsedTime(&ms, begin, end));
      least = std::min(least, ms * 1e-3);
    }
    return least;
  };
  const size_t chunks = bytes / 16;
  const LaunchConfig to_read{.grid = blocks_to_read(chunks, device), .block = kThreads},
      to_copy{.grid = blocks_to_copy(chunks), .block = kThreads};
  const auto* source = reinterpret_cast<const uint4*>(from.data());
  METALLIC_TRY(const double reading, least_seconds([&] {
                 return launch_kernel(read, to_read, executor, source, chunks, reinterpret_cast<unsigned*>(to.data()));
               }));
  METALLIC_TRY(const double copying, least_seconds([&] {
                 return launch_kernel(copy, to_copy, executor, source, reinterpret_cast<uint4*>(to.data()), chunks);
               }));
  constexpr int kRounds = 4096, kWarps = 16;
  const LaunchConfig all{.grid = dim3(static_cast<unsigned>(device.cuda().num_sms)), .block = 32 * kWarps};
  METALLIC_TRY(const double multiplying, least_seconds([&] {
                 return launch_kernel(multiply_add, all, executor, reinterpret_cast<float*>(to.data()), kRounds);
               }));
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return Roofline{.read_bytes_per_s = static_cast<double>(bytes) / reading,
                  .copy_bytes_per_s = 2 * static_cast<double>(bytes) / copying,
                  .flops_per_s = 2.0 * 16 * 8 * 16 * 8 * kRounds * kWarps * device.cuda().num_sms / multiplying};
}

}  // namespace metallic::cuda
