// SPDX-License-Identifier: Apache-2.0
// wgmma: asynchronous warpgroup-level tensor core products of 16-bit operands in shared memory with f32 accumulators (sm_90a).
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace metallic::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // only sm_90a has these instructions; later architectures do not

/// The matrix descriptor of a K-major operand with 128-byte swizzle: rows of 128 bytes, in groups of eight rows (1024 bytes) that
/// follow each other. `rows` is the begin of a group. A descriptor counts in units of 16 bytes, so adding 1 moves it by 16 bytes.
/// Source: PTX ISA, "Matrix Descriptor Format".
__device__ inline uint64_t make_smem_descriptor_128b_swizzle(const void* rows) {
  constexpr uint64_t kSwizzle128B = uint64_t{1} << 62, kStrideByteOffset = uint64_t{1024 / 16} << 32;
  constexpr uint64_t kLeadingByteOffset = uint64_t{1} << 16;  // ignored with swizzle
  return kSwizzle128B | kStrideByteOffset | kLeadingByteOffset |
         (static_cast<unsigned>(__cvta_generic_to_shared(rows)) & 0x3ffffu) >> 4;
}

/// Makes this thread's writes to shared memory, cp.async included, visible to wgmma; a barrier must follow.
__device__ inline void fence_proxy_async_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Orders register accesses before wgmma: required before the first one, and after touching accumulators.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ inline void wgmma_commit_group() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits until at most the last kPending groups are in flight.
template <int kPending>
__device__ inline void wgmma_wait_group() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Keeps the compiler from reading accumulators before a preceding wgmma_wait_group.
template <int kCount>
__device__ inline void wgmma_fence_operand(float (&acc)[kCount]) {
#pragma unroll
  for (float& element : acc) asm volatile("" : "+f"(element)::"memory");
}

/// setmaxnreg, by all threads of a warpgroup: raises the register count per thread to kCount, waiting until that many are free,
/// or lowers it.
template <int kCount>
__device__ inline void warpgroup_reg_alloc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void warpgroup_reg_dealloc() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

// `registers`: operand numbers of the accumulators, `a_b` those of the descriptors.
#define METALLIC_WGMMA(columns, registers, a_b, ...)                                                                      \
  if constexpr (std::is_same_v<T, __half>)                                                                                \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.f16.f16 {" registers "}, " a_b ", 1, 1, 1, 0, 0;"   \
                 : __VA_ARGS__                                                                                            \
                 : "l"(a), "l"(b));                                                                                       \
  else                                                                                                                    \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" registers "}, " a_b ", 1, 1, 1, 0, 0;" \
                 : __VA_ARGS__                                                                                            \
                 : "l"(a), "l"(b))
#define METALLIC_ACC_4(i) "+f"(acc[i]), "+f"(acc[i + 1]), "+f"(acc[i + 2]), "+f"(acc[i + 3])
#define METALLIC_ACC_16(i) METALLIC_ACC_4(i), METALLIC_ACC_4(i + 4), METALLIC_ACC_4(i + 8), METALLIC_ACC_4(i + 12)
#define METALLIC_REGISTERS_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define METALLIC_REGISTERS_32 METALLIC_REGISTERS_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define METALLIC_REGISTERS_64                                                                     \
  METALLIC_REGISTERS_32                                                                           \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54," \
  "%55,%56,%57,%58,%59,%60,%61,%62,%63"

/// acc += a·bᵀ of a[64, 16] and b[2·kCount, 16], given as matrix descriptors. A thread's accumulators have the layout of
/// mma.m16n8, kCount / 4 of them side by side; each warp has 16 of the rows.
template <typename T, int kCount>
__device__ inline void wgmma_m64k16(float (&acc)[kCount], uint64_t a, uint64_t b) {
  static_assert(kCount == 16 || kCount == 32 || kCount == 64);
  if constexpr (kCount == 16) {
    METALLIC_WGMMA("32", METALLIC_REGISTERS_16, "%16, %17", METALLIC_ACC_16(0));
  } else if constexpr (kCount == 32) {
    METALLIC_WGMMA("64", METALLIC_REGISTERS_32, "%32, %33", METALLIC_ACC_16(0), METALLIC_ACC_16(16));
  } else {
    METALLIC_WGMMA("128", METALLIC_REGISTERS_64, "%64, %65", METALLIC_ACC_16(0), METALLIC_ACC_16(16), METALLIC_ACC_16(32),
                   METALLIC_ACC_16(48));
  }
}

#undef METALLIC_WGMMA
#undef METALLIC_REGISTERS_64
#undef METALLIC_REGISTERS_32
#undef METALLIC_REGISTERS_16
#undef METALLIC_ACC_16
#undef METALLIC_ACC_4

#endif

}  // namespace metallic::cuda
