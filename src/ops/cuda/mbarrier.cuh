// Counted places in shared memory (mbarriers) where arrivals are waited for: of threads, and of bytes that the copy engine
// brings.
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace metallic::cuda {

__device__ inline uint32_t shared_place(const void* in_shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(in_shared));
}

/// A place that `arrivals` arrivals complete, round by round. In shared memory; needs compute capability 9.0, as all here does.
class Arrivals {
 public:
  /// By one thread. Others of the block may use it behind a barrier.
  __device__ void begin(unsigned arrivals) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\nfence.mbarrier_init.release.cluster;" ::"r"(shared_place(&state_)),
                 "r"(arrivals)
                 : "memory");
#endif
  }

  __device__ void arrive() {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_place(&state_)) : "memory");
#endif
  }

  /// An arrival that says how many bytes must arrive too.
  __device__ void arrive_expecting(unsigned bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_place(&state_)), "r"(bytes) : "memory");
#endif
  }

  /// Waits for the end of round `round`, if it is the last or the one before.
  __device__ void wait(unsigned round) const {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "{\n"
        ".reg .pred there;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 there, [%0], %1;\n"
        "@!there bra again;\n"
        "}\n" ::"r"(shared_place(&state_)),
        "r"(round % 2)
        : "memory");
#endif
  }

  /// Copies the box of a tensor that begins at (column, row) of matrix `matrix`, and counts its bytes when they are there. What
  /// is copied once leaves the L2 cache first.
  __device__ void copy_box(void* to_shared, const CUtensorMap* map, int column, int row, int matrix, bool once) {
#if __CUDA_ARCH__ >= 900
    if (once) {
      uint64_t policy;
      asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
      asm volatile(
          "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4}], "
          "[%5], %6;" ::"r"(shared_place(to_shared)),
          "l"(map), "r"(column), "r"(row), "r"(matrix), "r"(shared_place(&state_)), "l"(policy)
          : "memory");
    } else {
      asm volatile(
          "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(
              shared_place(to_shared)),
          "l"(map), "r"(column), "r"(row), "r"(matrix), "r"(shared_place(&state_))
          : "memory");
    }
#endif
  }

 private:
  uint64_t state_;
};

}  // namespace metallic::cuda
