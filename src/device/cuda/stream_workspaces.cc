// SPDX-License-Identifier: Apache-2.0
#include "device/cuda/stream_workspaces.h"

#include <algorithm>

#ifdef METALLIC_WITH_CUDA
#include "device/cuda/memory.h"
#endif

namespace metallic::cuda {

#ifdef METALLIC_WITH_CUDA

struct StreamWorkspaces::Of {
  std::vector<Memory> sizes;  // the last is the largest
};

Result<std::byte*> StreamWorkspaces::get(void* stream, size_t bytes) {
  const std::lock_guard lock(mutex_);
  auto& found = streams_[stream];
  if (!found) found = std::make_unique<Of>();
  const size_t had = found->sizes.empty() ? 0 : found->sizes.back().bytes();
  if (had < bytes) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    METALLIC_CUDA(cudaStreamIsCapturing(static_cast<cudaStream_t>(stream), &capturing));
    if (capturing != cudaStreamCaptureStatusNone)
      return fail(
          Code::unsupported,
          "the run needs {} bytes of workspace, and the stream is captured: run it once before the capture, or pass a workspace",
          bytes);
    METALLIC_TRY(Memory larger, Memory::allocate(std::max(bytes, had + had / 2)));
    found->sizes.push_back(std::move(larger));
  }
  return found->sizes.back().data();
}

#else

struct StreamWorkspaces::Of {};

Result<std::byte*> StreamWorkspaces::get(void*, size_t) {
  return fail(Code::unsupported, "this build has no CUDA (nvcc was not found)");
}

#endif

StreamWorkspaces::StreamWorkspaces() = default;
StreamWorkspaces::~StreamWorkspaces() = default;

}  // namespace metallic::cuda
