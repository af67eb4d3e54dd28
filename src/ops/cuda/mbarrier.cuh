// SPDX-License-Identifier: Apache-2.0
// mbarrier: a barrier in shared memory that completes a phase when enough threads arrived and enough bytes were copied (sm_90).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace metallic::cuda {

/// The 32-bit shared-memory address that PTX takes.
__device__ inline uint32_t smem_address(const void* shared) { return static_cast<uint32_t>(__cvta_generic_to_shared(shared)); }

/// Lives in shared memory. Does nothing before sm_90.
class Mbarrier {
 public:
  /// By one thread; a barrier of the block must follow before others use it.
  __device__ void init(unsigned arrival_count) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\nfence.mbarrier_init.release.cluster;" ::"r"(address()),
                 "r"(arrival_count)
                 : "memory");
#endif
  }

  __device__ void arrive() {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address()) : "memory");
#endif
  }

  /// Arrives, and makes the phase wait for `bytes` more bytes of asynchronous copies.
  __device__ void arrive_and_expect_tx(unsigned bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address()), "r"(bytes) : "memory");
#endif
  }

  /// Waits until phase `phase`, counted from 0, is complete. It must be the current phase or the one before: hardware keeps only
  /// its parity.
  __device__ void wait(unsigned phase) const {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "retry: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra retry;\n"
        "}\n" ::"r"(address()),
        "r"(phase % 2)
        : "memory");
#endif
  }

  __device__ uint32_t address() const { return smem_address(&state_); }

 private:
  uint64_t state_;
};

}  // namespace metallic::cuda
