// SPDX-License-Identifier: Apache-2.0
#include "tuner/verify/cuda_run.h"

#include <vector>

#ifdef METALLIC_WITH_CUDA
#include <algorithm>

#include "device/cuda/memory.h"
#endif

namespace metallic::validation {

#ifdef METALLIC_WITH_CUDA
namespace {

// A device copy of an operand, with its offset from a multiple of 16 bytes.
class Copy {
 public:
  static Result<Copy> of(const void* here, int64_t bytes) {
    const size_t skipped = reinterpret_cast<uintptr_t>(here) % 16;
    METALLIC_TRY(cuda::Memory memory, cuda::Memory::allocate(skipped + static_cast<size_t>(bytes)));
    METALLIC_CUDA(cudaMemcpy(memory.data() + skipped, here, static_cast<size_t>(bytes), cudaMemcpyHostToDevice));
    return Copy(std::move(memory), skipped);
  }
  std::byte* data() const { return memory_.data() + skipped_; }

 private:
  Copy(cuda::Memory memory, size_t skipped) : memory_(std::move(memory)), skipped_(skipped) {}
  cuda::Memory memory_;
  size_t skipped_;
};

constexpr size_t kGuardBytes = 4096;  // after the workspace
constexpr int kPoison = 0xff;

Status run(const Kernel& kernel, const Args& args, const std::array<int64_t, 4>& bytes, Executor& executor) {
  const bool in_place = args.in[0] == args.out;
  std::vector<Copy> copies;
  for (size_t i = 0; i < 3; ++i) {
    METALLIC_TRY(Copy copy, Copy::of(args.in[i], in_place && i == 0 ? 0 : bytes[i]));
    copies.push_back(std::move(copy));
  }
  METALLIC_TRY(const Copy out, Copy::of(args.out, bytes[kOut]));
  METALLIC_TRY(const cuda::Memory workspace, cuda::Memory::allocate(kernel.workspace() + kGuardBytes));
  METALLIC_CUDA(cudaMemset(workspace.data(), kPoison, workspace.bytes()));
  METALLIC_CUDA(cudaDeviceSynchronize());
  const Args there{.in = {in_place ? out.data() : copies[0].data(), copies[1].data(), copies[2].data()}, .out = out.data()};
  if (const Code code = kernel.run(there, workspace.data(), executor); code != Code::ok)
    return fail(code, "{}: {}", name(code), cudaGetErrorString(cudaGetLastError()));
  METALLIC_CUDA(cudaStreamSynchronize(static_cast<cudaStream_t>(executor.stream())));
  METALLIC_CUDA(cudaMemcpy(args.out, out.data(), static_cast<size_t>(bytes[kOut]), cudaMemcpyDeviceToHost));
  std::vector<unsigned char> guard(kGuardBytes);
  METALLIC_CUDA(cudaMemcpy(guard.data(), workspace.data() + kernel.workspace(), kGuardBytes, cudaMemcpyDeviceToHost));
  if (std::ranges::any_of(guard, [](unsigned char byte) { return byte != kPoison; }))
    return fail(Code::internal, "wrote beyond its workspace");
  return {};
}

}  // namespace

std::optional<std::string> run_on_device(const Kernel& kernel, const Args& args, const std::array<int64_t, 4>& bytes,
                                         Executor& executor) {
  const Status done = run(kernel, args, bytes, executor);
  return done ? std::nullopt : std::optional(done.error().message);
}

#else

std::optional<std::string> run_on_device(const Kernel&, const Args&, const std::array<int64_t, 4>&, Executor&) {
  return "this build has no CUDA";
}

#endif

}  // namespace metallic::validation
