// SPDX-License-Identifier: Apache-2.0
// cp.async: asynchronous copies from global to shared memory (sm_80).
#pragma once

#include <cstdint>

namespace metallic::cuda {

/// Starts a copy of kBytes (4, 8 or 16): the first `src_bytes` come from `global`, the rest is zero-filled. Both addresses are
/// multiples of kBytes. `global` must point into the tensor even if src_bytes = 0. Copies of 16 bytes bypass L1.
template <int kBytes>
__device__ inline void cp_async(void* shared, const void* global, int src_bytes = kBytes) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(src_bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(kBytes), "r"(src_bytes) : "memory");
}

/// Commits this thread's copies as a group, which may be empty.
__device__ inline void cp_async_commit_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most the last kPending groups of this thread are in flight. Other threads need a barrier after it.
template <int kPending>
__device__ inline void cp_async_wait_group() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace metallic::cuda
