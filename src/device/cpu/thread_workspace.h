// SPDX-License-Identifier: Apache-2.0
// Scratch memory of the calling thread, for callers that bring none.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace metallic::cpu {

/// Takes the thread's memory for a scope. It grows by at least half and is freed with its thread. A scope within another, as when
/// a task of a run starts a run, gets memory of its own.
class ThreadWorkspace {
 public:
  /// Aligned to 64. Throws std::bad_alloc.
  explicit ThreadWorkspace(size_t bytes);
  ~ThreadWorkspace();
  ThreadWorkspace(const ThreadWorkspace&) = delete;
  ThreadWorkspace& operator=(const ThreadWorkspace&) = delete;

  std::byte* data() const { return data_; }

 private:
  struct Free {
    void operator()(std::byte* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  struct Kept;
  static Kept& of_thread();

  std::byte* data_;
  Memory nested_;
};

}  // namespace metallic::cpu
