// SPDX-License-Identifier: Apache-2.0
// Elements and 16-byte chunks of tensors: conversion to float and back, and loads and stores that are vectorized if the address
// allows it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "base/dtype.h"

namespace metallic::cuda {

template <typename T>
inline constexpr DType kDType = std::is_same_v<T, __half>  ? DType::f16
                                : std::is_same_v<T, float> ? DType::f32
                                                           : DType::bf16;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(__half x) { return __half2float(x); }
__device__ inline float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T>
__device__ inline T from_float(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(x);
  else
    return x;
}

/// Elements in a chunk of 16 bytes.
template <typename T>
inline constexpr int kChunkElements = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of a tensor, the widest load of a thread.
template <typename T>
union alignas(16) Chunk {
  uint4 bits;
  unsigned words[4];
  T elements[kChunkElements<T>];
};

/// Element `i` of a chunk. For bf16 it works on words: one shift or mask instead of an extraction and a conversion.
template <typename T>
__device__ inline float element(const Chunk<T>& chunk, int i) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __uint_as_float(i % 2 == 0 ? chunk.words[i / 2] << 16 : chunk.words[i / 2] & 0xffff0000u);
  else
    return to_float(chunk.elements[i]);
}

/// Loads a chunk with the streaming hint (ld.global.cs): for data that is read once.
template <typename T>
__device__ inline void load_streaming(Chunk<T>& to, const T* from) {
  to.bits = __ldcs(reinterpret_cast<const uint4*>(from));
}

/// A 32-bit word filled with copies of an element.
template <typename T>
__device__ inline unsigned splat_word(T element) {
  if constexpr (sizeof(T) == 4)
    return __float_as_uint(element);
  else
    return 0x10001u * *reinterpret_cast<const unsigned short*>(&element);
}

/// Replaces the elements outside of [begin, end) by `fill`; both are below 2²⁶.
template <typename T>
__device__ inline void mask_outside(Chunk<T>& chunk, int begin, int end, T fill) {
  constexpr int kPerWord = 4 / static_cast<int>(sizeof(T)), kBits = 8 * static_cast<int>(sizeof(T));
  const unsigned fill_word = splat_word(fill);
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    // PTX shl clamps: shifting by 32 or more gives 0. In C++ it is undefined.
    const auto from = [&](int position) {
      unsigned mask;
      asm("shl.b32 %0, 0xffffffff, %1;" : "=r"(mask) : "r"(kBits * max(position - kPerWord * w, 0)));
      return mask;
    };
    const unsigned kept = from(begin) & ~from(end);
    chunk.words[w] = (chunk.words[w] & kept) | (fill_word & ~kept);
  }
}

/// The largest element of some chunks, ignoring NaN.
template <typename T, int kCount>
__device__ inline float max_of(const Chunk<T> (&chunks)[kCount]) {
  if constexpr (std::is_same_v<T, float>) {
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < kCount * kChunkElements<T>; ++i)
      max = fmaxf(max, chunks[i / kChunkElements<T>].elements[i % kChunkElements<T>]);
    return max;
  } else {
    using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
    const auto pair = [&](int i) { return *reinterpret_cast<const Pair*>(&chunks[i / 4].words[i % 4]); };
    Pair both = pair(0);
#pragma unroll
    for (int i = 1; i < 4 * kCount; ++i) both = __hmax2(both, pair(i));
    return fmaxf(to_float(both.x), to_float(both.y));
  }
}

/// Converts two floats and stores them as neighbouring elements; 16-bit types in one store, at a multiple of 4 bytes.
template <typename T>
__device__ inline void store_pair(T* to, float first, float second) {
  if constexpr (std::is_same_v<T, __half>)
    *reinterpret_cast<__half2*>(to) = __floats2half2_rn(first, second);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(first, second);
  else
    to[0] = first, to[1] = second;
}

/// Stores the elements [begin, end) of a chunk, in whole words if possible. `to` is where the whole chunk would go, a multiple of
/// 16 bytes.
template <typename T>
__device__ inline void store_range(const Chunk<T>& chunk, T* to, int begin, int end) {
  constexpr int kPerWord = 4 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const int first = kPerWord * w;
    if (first >= begin && first + kPerWord <= end)
      __stcs(reinterpret_cast<unsigned*>(to) + w, chunk.words[w]);
    else if constexpr (kPerWord == 2) {
      if (first + 1 == begin && begin < end) to[first + 1] = chunk.elements[first + 1];
      if (first + 1 == end && begin < end) to[first] = chunk.elements[first];
    }
  }
}

/// The unit in which store_vector stores kCount elements.
template <typename T, int kCount>
using StoreVector = std::conditional_t<kCount * sizeof(T) % 16 == 0, uint4, uint2>;

/// Whether an address is aligned for it.
template <typename T, int kCount>
__device__ inline bool is_vector_aligned(const T* to) {
  return reinterpret_cast<uintptr_t>(to) % sizeof(StoreVector<T, kCount>) == 0;
}

/// Converts floats and stores them with one or two vector stores; the address must be aligned for them.
template <int kCount, typename T>
__device__ inline void store_vector(const float (&values)[kCount], T* to) {
  using Vector = StoreVector<T, kCount>;
  constexpr int kVectors = kCount * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(Vector));
  static_assert(kVectors * sizeof(Vector) == kCount * sizeof(T));
  union {
    Vector vectors[kVectors];
    T elements[kCount];
  } all;
#pragma unroll
  for (int i = 0; i < kCount; i += 2) store_pair(all.elements + i, values[i], values[i + 1]);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) __stcs(reinterpret_cast<Vector*>(to) + i, all.vectors[i]);
}

}  // namespace metallic::cuda
