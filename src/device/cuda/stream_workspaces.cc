// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/stream_workspaces.h"

#include <algorithm>
#include <vector>

#ifdef METALLIC_WITH_CUDA
#include "device/cuda/memory.h"
#include "device/cuda/while_capturing.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA

struct StreamWorkspaces::OfStream {
  std::mutex launching;
  std::vector<Memory> sizes;  // the last is the largest
};

Result<StreamWorkspaces::Lease> StreamWorkspaces::take(void* stream, size_t bytes) {
  const auto handle = static_cast<cudaStream_t>(stream);
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  METALLIC_CUDA(cudaStreamIsCapturing(handle, &capturing));
  if (capturing != cudaStreamCaptureStatusNone)
    return fail(
        Code::unsupported,
        "the run needs {} bytes of workspace, and the stream is captured: pass a workspace that lives as long as the graph",
        bytes);
  // Not the handle: cudaStreamPerThread is another stream in each thread.
  unsigned long long number = 0;
  METALLIC_CUDA(cudaStreamGetId(handle, &number));
  OfStream* found = nullptr;
  {
    const std::lock_guard lock(mutex_);
    auto& slot = streams_[number];
    if (!slot) slot = std::make_unique<OfStream>();
    found = slot.get();
  }
  Lease lease{std::unique_lock(found->launching)};
  const size_t had = found->sizes.empty() ? 0 : found->sizes.back().bytes();
  if (had < bytes) {
    const WhileCapturing allowed;
    METALLIC_TRY(Memory larger, Memory::allocate(std::max(bytes, had + had / 2)));
    found->sizes.push_back(std::move(larger));
  }
  lease.data = found->sizes.back().data();
  return lease;
}

#else

struct StreamWorkspaces::OfStream {};

Result<StreamWorkspaces::Lease> StreamWorkspaces::take(void*, size_t) {
  return fail(Code::unsupported, "this build has no CUDA (nvcc was not found)");
}

#endif

StreamWorkspaces::StreamWorkspaces() = default;
StreamWorkspaces::~StreamWorkspaces() = default;

}  // namespace metallic::cuda
