// SPDX-License-Identifier: Apache-2.0
// Scratch memory for each stream of a GPU, for callers that bring none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "base/status.h"

namespace metallic::cuda {

/// Kernels of one stream run one after the other, so they share its memory. Thread-safe.
class StreamWorkspaces {
 public:
  StreamWorkspaces();
  ~StreamWorkspaces();

  /// Memory for the launches of one run. While it lives, other threads wait to launch on the stream with its memory, or the
  /// kernels of two runs would alternate.
  struct Lease {
    std::unique_lock<std::mutex> lock;
    std::byte* data = nullptr;
  };

  /// At least `bytes` for kernels on the stream of the current device. Memory grows by at least half; what it grew out of is
  /// kept, since kernels in flight use it. Errors: those of CUDA; Code::unsupported if the stream is captured, because the graph
  /// may be replayed beside later runs or after the memory is gone.
  Result<Lease> take(void* stream, size_t bytes);

 private:
  struct OfStream;
  std::mutex mutex_;
  std::map<uint64_t, std::unique_ptr<OfStream>> streams_;  // by the number of the stream, which no other ever has
};

}  // namespace metallic::cuda
