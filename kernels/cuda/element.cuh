// Elements and 16-byte chunks of tensors on a CUDA device: conversion to float and back, loads and stores that are wide where
// the address allows it.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "core/dtype.h"

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
  T at[kChunk<T>];
};

/// 16 bytes that nobody reads again soon.
template <typename T>
__device__ inline void load_once(Chunk<T>& to, const T* from) {
  to.bits = __ldcs(reinterpret_cast<const uint4*>(from));
}

/// Elements [begin, begin + kChunk) of a row of `count`, one by one, `fill` where that is outside of it.
template <typename T>
__device__ inline void load_elements(Chunk<T>& to, const T* row, int64_t begin, int64_t count, T fill) {
#pragma unroll
  for (int i = 0; i < kChunk<T>; ++i) to.at[i] = begin + i >= 0 && begin + i < count ? row[begin + i] : fill;
}

/// The same in one load where all lie in the row; the address must be a multiple of 16 bytes there.
template <typename T>
__device__ inline void load_chunk(Chunk<T>& to, const T* row, int64_t begin, int64_t count, T fill) {
  if (begin >= 0 && begin + kChunk<T> <= count)
    load_once(to, row + begin);
  else
    load_elements(to, row, begin, count, fill);
}

/// The same where elements from `least` to `most` of the row are of the same tensor, neighbouring rows' too: one load there as
/// well, since what lies outside of the row is not looked at.
template <typename T>
__device__ inline void load_chunk_within(Chunk<T>& to, const T* row, int64_t begin, int64_t count, int64_t least, int64_t most,
                                         T fill) {
  constexpr int kOf = kChunk<T>;
  if (begin >= count || begin < least || begin + kOf > most) {
    load_elements(to, row, begin, count, fill);
    return;
  }
  load_once(to, row + begin);
  if (begin < 0 || begin + kOf > count)
#pragma unroll
    for (int i = 0; i < kOf; ++i)
      if (begin + i < 0 || begin + i >= count) to.at[i] = fill;
}

/// The largest element of a chunk, NaN passed over.
template <typename T>
__device__ inline float max_of(const Chunk<T>& chunk) {
  if constexpr (std::is_same_v<T, float>) {
    return fmaxf(fmaxf(chunk.at[0], chunk.at[1]), fmaxf(chunk.at[2], chunk.at[3]));
  } else {
    using Pair = std::conditional_t<std::is_same_v<T, __half>, __half2, __nv_bfloat162>;
    const Pair* pairs = reinterpret_cast<const Pair*>(&chunk);
    const Pair both = __hmax2(__hmax2(pairs[0], pairs[1]), __hmax2(pairs[2], pairs[3]));
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

/// Stores kCount floats as elements [begin, begin + kCount) of a row of `count`, in one or two stores where all lie in the row
/// and the address allows it.
template <int kCount, typename T>
__device__ inline void store_floats(const float* values, T* row, int64_t begin, int64_t count) {
  constexpr int kBytes = kCount * static_cast<int>(sizeof(T));
  using Word = std::conditional_t<kBytes % 16 == 0, uint4, uint2>;
  constexpr int kWords = kBytes / static_cast<int>(sizeof(Word));
  static_assert(kWords * sizeof(Word) == kBytes);
  if (begin >= 0 && begin + kCount <= count && reinterpret_cast<uintptr_t>(row + begin) % sizeof(Word) == 0) {
    union {
      Word words[kWords];
      T at[kCount];
    } all;
#pragma unroll
    for (int i = 0; i < kCount; i += 2) set_pair(all.at + i, values[i], values[i + 1]);
#pragma unroll
    for (int i = 0; i < kWords; ++i) __stcs(reinterpret_cast<Word*>(row + begin) + i, all.words[i]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i)
    if (begin + i >= 0 && begin + i < count) row[begin + i] = from_float<T>(values[i]);
}

/// Calls function(In{}, Out{}) with the device's types of input and output, which are the same or one of them f32.
template <typename Function>
decltype(auto) with_types(DType dtype, DType out_dtype, const Function& function) {
  switch (dtype) {
    case DType::f16: return out_dtype == DType::f32 ? function(__half{}, float{}) : function(__half{}, __half{});
    case DType::bf16:
      return out_dtype == DType::f32 ? function(__nv_bfloat16{}, float{}) : function(__nv_bfloat16{}, __nv_bfloat16{});
    default: break;
  }
  switch (out_dtype) {
    case DType::f16: return function(float{}, __half{});
    case DType::bf16: return function(float{}, __nv_bfloat16{});
    default: return function(float{}, float{});
  }
}

}  // namespace metallic::cuda
