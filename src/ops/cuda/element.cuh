// Elements and 16-byte chunks of tensors on a CUDA device: conversion to float and back, loads and stores that are wide where
// the address allows it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "base/dtype.h"

namespace metallic::cuda {

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

/// Elements of a type in 16 bytes.
template <typename T>
inline constexpr int kChunk = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of a tensor as elements.
template <typename T>
union alignas(16) Chunk {
  uint4 bits;
  unsigned words[4];
  T at[kChunk<T>];
};

/// Element `i` of a chunk. Of a pair of bf16 each takes one instruction so, the upper two otherwise.
template <typename T>
__device__ inline float element(const Chunk<T>& chunk, int i) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __uint_as_float(i % 2 == 0 ? chunk.words[i / 2] << 16 : chunk.words[i / 2] & 0xffff0000u);
  else
    return to_float(chunk.at[i]);
}

/// 16 bytes that nobody reads again soon.
template <typename T>
__device__ inline void load_once(Chunk<T>& to, const T* from) {
  to.bits = __ldcs(reinterpret_cast<const uint4*>(from));
}

/// A word of equal elements.
template <typename T>
__device__ inline unsigned word_of(T element) {
  if constexpr (sizeof(T) == 4)
    return __float_as_uint(element);
  else
    return 0x10001u * *reinterpret_cast<const unsigned short*>(&element);
}

/// Of a chunk those elements stay whose places are in [from, to), below 2²⁶; the others become `none`.
template <typename T>
__device__ inline void keep(Chunk<T>& chunk, int from, int to, T none) {
  constexpr int kOfWord = 4 / static_cast<int>(sizeof(T)), kBits = 8 * static_cast<int>(sizeof(T));
  const unsigned filled = word_of(none);
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    // Shifts by 32 bits or more leave nothing.
    const auto below = [&](int place) {
      unsigned mask;
      asm("shl.b32 %0, 0xffffffff, %1;" : "=r"(mask) : "r"(kBits * max(place - kOfWord * w, 0)));
      return mask;
    };
    const unsigned kept = below(from) & ~below(to);
    chunk.words[w] = (chunk.words[w] & kept) | (filled & ~kept);
  }
}

/// The largest element of some chunks, NaN passed over.
template <typename T, int kCount>
__device__ inline float max_of(const Chunk<T> (&chunks)[kCount]) {
  if constexpr (std::is_same_v<T, float>) {
    float max = -INFINITY;
#pragma unroll
    for (int i = 0; i < kCount * kChunk<T>; ++i) max = fmaxf(max, chunks[i / kChunk<T>].at[i % kChunk<T>]);
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

/// Two floats as neighbouring elements.
template <typename T>
__device__ inline void set_pair(T* to, float low, float high) {
  if constexpr (std::is_same_v<T, __half>)
    *reinterpret_cast<__half2*>(to) = __floats2half2_rn(low, high);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(low, high);
  else
    to[0] = low, to[1] = high;
}

/// Stores of a chunk, whose place is a multiple of 16 bytes, the elements [from, to), in whole words where it can.
template <typename T>
__device__ inline void store_some(const Chunk<T>& chunk, T* to_chunk, int from, int to) {
  constexpr int kOfWord = 4 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const int begin = kOfWord * w;
    if (begin >= from && begin + kOfWord <= to)
      __stcs(reinterpret_cast<unsigned*>(to_chunk) + w, chunk.words[w]);
    else if constexpr (kOfWord == 2) {
      if (begin + 1 == from && from < to) to_chunk[begin + 1] = chunk.at[begin + 1];
      if (begin + 1 == to && from < to) to_chunk[begin] = chunk.at[begin];
    }
  }
}

/// What kCount elements are stored in at once.
template <typename T, int kCount>
using Word = std::conditional_t<kCount * sizeof(T) % 16 == 0, uint4, uint2>;

/// Whether an address is a multiple of that.
template <typename T, int kCount>
__device__ inline bool is_wide_place(const T* to) {
  return reinterpret_cast<uintptr_t>(to) % sizeof(Word<T, kCount>) == 0;
}

/// Stores floats as elements in one or two stores, at such an address.
template <int kCount, typename T>
__device__ inline void store_wide(const float (&values)[kCount], T* to) {
  using Of = Word<T, kCount>;
  constexpr int kWords = kCount * static_cast<int>(sizeof(T)) / static_cast<int>(sizeof(Of));
  static_assert(kWords * sizeof(Of) == kCount * sizeof(T));
  union {
    Of words[kWords];
    T at[kCount];
  } all;
#pragma unroll
  for (int i = 0; i < kCount; i += 2) set_pair(all.at + i, values[i], values[i + 1]);
#pragma unroll
  for (int i = 0; i < kWords; ++i) __stcs(reinterpret_cast<Of*>(to) + i, all.words[i]);
}

/// Calls function(In{}, Out{}) with the device's types of 16-bit inputs and of the output, which is the same or f32.
template <typename Function>
decltype(auto) with_16_bit_types(DType dtype, DType out_dtype, const Function& function) {
  if (dtype == DType::f16) return out_dtype == DType::f32 ? function(__half{}, float{}) : function(__half{}, __half{});
  return out_dtype == DType::f32 ? function(__nv_bfloat16{}, float{}) : function(__nv_bfloat16{}, __nv_bfloat16{});
}

/// The same with inputs that may be f32, whose output may be any.
template <typename Function>
decltype(auto) with_types(DType dtype, DType out_dtype, const Function& function) {
  if (dtype != DType::f32) return with_16_bit_types(dtype, out_dtype, function);
  switch (out_dtype) {
    case DType::f16: return function(float{}, __half{});
    case DType::bf16: return function(float{}, __nv_bfloat16{});
    default: return function(float{}, float{});
  }
}

}  // namespace metallic::cuda
