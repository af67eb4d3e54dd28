// Reductions in a fixed order: over part of a warp, and of a softmax' maximum and sum over warps.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cfloat>

namespace metallic::cuda {

/// The maximum, or the sum, over groups of `width` neighbouring lanes, a power of two.
__device__ inline float max_over(float x, int width) {
  for (int step = width / 2; step > 0; step /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
__device__ inline float sum_over(float x, int width) {
  for (int step = width / 2; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

/// e^(scale·d) as a power of 2, for d ≤ 0 or NaN.
class Exponential {
 public:
  /// A factor of infinity would make NaN of the largest term.
  explicit Exponential(float scale) : factor_(static_cast<float>(std::min<double>(scale * 1.4426950408889634, FLT_MAX))) {}

  /// Within 3 ULP and scale·|d|·2⁻²⁴: the rounding of the exponent is put back.
  __device__ float operator()(float d) const {
    constexpr float kLn2 = 0.693147181f;
    const float t = d * factor_, rest = fmaf(d, factor_, -t);
    float power;
    asm("ex2.approx.f32 %0, %1;" : "=f"(power) : "f"(t));
    return t == -INFINITY ? 0.0f : fmaf(power, rest * kLn2, power);
  }

  /// Within 2·scale·|d|·2⁻²⁴ more, and 0 below 2⁻¹²⁶, in a third of the instructions: for the terms of a sum, where what is far
  /// from 0 counts little, and for results of 16 bits.
  __device__ float roughly(float d) const { return power_of_2(d * factor_); }
  /// Times 2^exponent.
  __device__ float roughly(float d, float exponent) const { return power_of_2(fmaf(d, factor_, exponent)); }

 private:
  __device__ static float power_of_2(float exponent) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return power;
  }

  float factor_;
};

/// The largest of some terms, and the sum of e^(scale·(term − largest)). Without terms −∞ and 0.
struct MaxSum {
  float max, sum;
};

/// What a sum that was made for `max` counts when the largest term is `to`.
__device__ inline float rescale(float max, float to, const Exponential& exponential) {
  return max == to ? 1.0f : exponential(max - to);
}

/// Those of all lanes of a warp, or of `width` neighbours.
__device__ inline MaxSum combined(MaxSum mine, const Exponential& exponential, int width = 32) {
  const float max = max_over(mine.max, width);
  return {max, sum_over(mine.sum * rescale(mine.max, max, exponential), width)};
}

/// Those of `count` neighbours in shared or global memory, at most 32, combined alike by every warp.
__device__ inline MaxSum combined_of(const MaxSum* some, unsigned count, const Exponential& exponential) {
  const unsigned lane = threadIdx.x % 32;
  return combined(lane < count ? some[lane] : MaxSum{-INFINITY, 0}, exponential);
}

/// Those of a block's warps, each of which has its own in every lane; `of_warp` is shared memory for 32. One barrier, after which
/// every warp combines them alike.
__device__ inline MaxSum combined_over_warps(MaxSum of_mine, const Exponential& exponential, MaxSum* of_warp) {
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = of_mine;
  __syncthreads();
  return combined_of(of_warp, blockDim.x / 32, exponential);
}

}  // namespace metallic::cuda
