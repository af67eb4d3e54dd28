// SPDX-License-Identifier: Apache-2.0
// Scratch memory for each stream of a GPU, for callers that bring none.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"

namespace metallic::cuda {

/// Kernels of one stream run one after the other, so they share its memory. Thread-safe.
class StreamWorkspaces {
 public:
  StreamWorkspaces();
  ~StreamWorkspaces();

  /// At least `bytes` for kernels on the stream of the current device. Memory grows by at least half; what it grew out of is
  /// kept, since captured graphs may use it. Errors: those of CUDA; Code::unsupported if it must grow while the stream is
  /// captured.
  Result<std::byte*> get(void* stream, size_t bytes);

 private:
  struct Of;
  std::mutex mutex_;
  std::map<void*, std::unique_ptr<Of>> streams_;
};

}  // namespace metallic::cuda
