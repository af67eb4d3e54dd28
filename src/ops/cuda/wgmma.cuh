// Hopper's tensor cores as a warpgroup drives them: 64 × 32, 64 or 128 × 16 products of 16-bit elements in shared memory, added
// to floats in registers while its threads go on.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace metallic::cuda {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL  // no other card has them, later ones neither

/// What the instruction is told of rows along K in shared memory: 128 bytes each, of which 16-byte chunks are permuted by the
/// row's number modulo 8; groups of eight rows, 1024 bytes, lie one behind the other. `rows` is such a group's begin; what lies
/// 16 bytes behind, along K or in groups, is one more. Source: PTX ISA, matrix descriptor.
__device__ inline uint64_t rows_of_128_bytes(const void* rows) {
  constexpr uint64_t kPermuted = uint64_t{1} << 62, kGroup = uint64_t{1024 / 16} << 32, kUnused = uint64_t{1} << 16;
  return kPermuted | kGroup | kUnused | (static_cast<unsigned>(__cvta_generic_to_shared(rows)) & 0x3ffffu) >> 4;
}

/// Lets products see what this thread wrote or copied to shared memory; a barrier follows.
__device__ inline void show_to_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Before a warpgroup's first product, and where it touched sums in between.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// All threads of a warpgroup: from here on they have kCount registers each, more than before, for which they wait, or fewer.
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void leave_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// Closes a group of products.
__device__ inline void end_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits until all but the last kLeft groups are done.
template <int kLeft>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

/// Keeps the compiler from reading sums before the wait that stands above.
template <int kCount>
__device__ inline void settle(float (&sums)[kCount]) {
#pragma unroll
  for (float& sum : sums) asm volatile("" : "+f"(sum)::"memory");
}

// `sums`: their places in the instruction, `a_b` those of the descriptors.
#define METALLIC_PRODUCT(columns, places, a_b, ...)                                                                    \
  if constexpr (std::is_same_v<T, __half>)                                                                             \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.f16.f16 {" places "}, " a_b ", 1, 1, 1, 0, 0;"   \
                 : __VA_ARGS__                                                                                         \
                 : "l"(a), "l"(b));                                                                                    \
  else                                                                                                                 \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" columns "k16.f32.bf16.bf16 {" places "}, " a_b ", 1, 1, 1, 0, 0;" \
                 : __VA_ARGS__                                                                                         \
                 : "l"(a), "l"(b))
#define METALLIC_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define METALLIC_16(i) METALLIC_4(i), METALLIC_4(i + 4), METALLIC_4(i + 8), METALLIC_4(i + 12)
#define METALLIC_PLACES_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define METALLIC_PLACES_32 METALLIC_PLACES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define METALLIC_PLACES_64                                                                        \
  METALLIC_PLACES_32                                                                              \
  ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54," \
  "%55,%56,%57,%58,%59,%60,%61,%62,%63"

/// sums += a·bᵀ of a[64, 16] and b[2·kCount, 16], as descriptors; a thread's sums lie as in 16 × 8 products, kCount / 4 of them
/// side by side, each warp having 16 of the rows.
template <typename T, int kCount>
__device__ inline void add_product(float (&sums)[kCount], uint64_t a, uint64_t b) {
  static_assert(kCount == 16 || kCount == 32 || kCount == 64);
  if constexpr (kCount == 16) {
    METALLIC_PRODUCT("32", METALLIC_PLACES_16, "%16, %17", METALLIC_16(0));
  } else if constexpr (kCount == 32) {
    METALLIC_PRODUCT("64", METALLIC_PLACES_32, "%32, %33", METALLIC_16(0), METALLIC_16(16));
  } else {
    METALLIC_PRODUCT("128", METALLIC_PLACES_64, "%64, %65", METALLIC_16(0), METALLIC_16(16), METALLIC_16(32), METALLIC_16(48));
  }
}

#undef METALLIC_PRODUCT
#undef METALLIC_PLACES_64
#undef METALLIC_PLACES_32
#undef METALLIC_PLACES_16
#undef METALLIC_16
#undef METALLIC_4

#endif

}  // namespace metallic::cuda
