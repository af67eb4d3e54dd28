// SPDX-License-Identifier: Apache-2.0
// A scope in which this thread may make calls that do not belong to a capture while any thread captures a graph.
#pragma once

#include <cuda_runtime_api.h>

namespace metallic::cuda {

/// Without it such calls, cudaEventQuery and cudaMalloc among them, fail and end the other thread's capture.
class WhileCapturing {
 public:
  WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~WhileCapturing() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  WhileCapturing(const WhileCapturing&) = delete;
  WhileCapturing& operator=(const WhileCapturing&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace metallic::cuda
