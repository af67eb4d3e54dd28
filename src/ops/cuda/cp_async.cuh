// Copies from the device's memory to shared memory that go on while their thread does.
#pragma once

#include <cstdint>

namespace metallic::cuda {

/// Starts copying kBytes, of which the first `bytes` are read and the others zero. Both addresses are multiples of kBytes, `from`
/// is the tensor's even where nothing is read. 16 bytes pass the L1 cache by.
template <int kBytes>
__device__ inline void start_copy(void* to_shared, const void* from, int bytes = kBytes) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  if constexpr (kBytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes), "r"(bytes) : "memory");
}

/// Closes a group of this thread's copies, which may be none.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until all but the last kLeft groups of this thread are there; other threads see them behind a barrier.
template <int kLeft>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

}  // namespace metallic::cuda
