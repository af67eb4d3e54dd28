// SPDX-License-Identifier: Apache-2.0
// Owned device memory.
#pragma once

#include <cstddef>
#include <utility>

#include "device/cuda/check.h"

namespace metallic::cuda {

class Memory {
 public:
  Memory() = default;
  static Result<Memory> allocate(size_t bytes) {
    Memory made;
    METALLIC_CUDA(cudaMalloc(reinterpret_cast<void**>(&made.data_), bytes > 0 ? bytes : 1));
    made.bytes_ = bytes;
    return made;
  }
  Memory(Memory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() { cudaFree(data_); }

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace metallic::cuda
