// SPDX-License-Identifier: Apache-2.0
// An owned CUDA event.
#pragma once

#include <utility>

#include "device/cuda/check.h"

namespace metallic::cuda {

class Event {
 public:
  /// An event with timing.
  static Result<Event> create() {
    Event made;
    METALLIC_CUDA(cudaEventCreate(&made.event_));
    return made;
  }
  Event() = default;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_) cudaEventDestroy(event_);
  }
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace metallic::cuda
