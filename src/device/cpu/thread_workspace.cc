// SPDX-License-Identifier: Apache-2.0
#include "device/cpu/thread_workspace.h"

#include <algorithm>

namespace metallic::cpu {

struct ThreadWorkspace::Kept {
  Memory memory;
  size_t bytes = 0;
  bool in_use = false;
};

ThreadWorkspace::Kept& ThreadWorkspace::of_thread() {
  thread_local Kept kept;
  return kept;
}

ThreadWorkspace::ThreadWorkspace(size_t bytes) {
  const auto allocate = [](size_t size) { return Memory(static_cast<std::byte*>(::operator new(size, std::align_val_t(64)))); };
  Kept& kept = of_thread();
  if (kept.in_use) {
    nested_ = allocate(bytes);
    data_ = nested_.get();
    return;
  }
  if (kept.bytes < bytes) {
    const size_t larger = std::max(bytes, kept.bytes + kept.bytes / 2);
    kept.bytes = 0;
    kept.memory.reset();  // before the new one, so that both never exist together
    kept.memory = allocate(larger);
    kept.bytes = larger;
  }
  kept.in_use = true;
  data_ = kept.memory.get();
}

ThreadWorkspace::~ThreadWorkspace() {
  if (!nested_) of_thread().in_use = false;
}

}  // namespace metallic::cpu
