// SPDX-License-Identifier: Apache-2.0
// Online softmax: the exponential of a scaled difference, and (maximum, sum) pairs that combine over lanes, warps and blocks.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cfloat>

#include "ops/cuda/warp.cuh"

namespace metallic::cuda {

/// e^(scale·d) as a power of 2, for d ≤ 0 or NaN.
class Exponential {
 public:
  /// Clamped to the largest float: an infinite factor would turn the largest term, whose d is 0, into NaN.
  explicit Exponential(float scale) : factor_(static_cast<float>(std::min<double>(scale * 1.4426950408889634, FLT_MAX))) {}

  /// Within 3 ULP and scale·|d|·2⁻²⁴: a correction term restores what rounding the exponent lost.
  __device__ float operator()(float d) const {
    constexpr float kLn2 = 0.693147181f;
    const float exponent = d * factor_, residual = fmaf(d, factor_, -exponent);
    float power;
    asm("ex2.approx.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return exponent == -INFINITY ? 0.0f : fmaf(power, residual * kLn2, power);
  }

  /// A third of the instructions, for an additional error of 2·scale·|d|·2⁻²⁴; 0 below 2⁻¹²⁶. Accurate enough for the terms of
  /// a sum, in which terms far from the maximum count little, and for 16-bit results.
  __device__ float approx(float d) const { return ex2_approx_ftz(d * factor_); }
  /// The same times 2^exponent.
  __device__ float approx(float d, float exponent) const { return ex2_approx_ftz(fmaf(d, factor_, exponent)); }

 private:
  __device__ static float ex2_approx_ftz(float exponent) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(exponent));
    return power;
  }

  float factor_;
};

/// The running maximum of some terms and the sum of e^(scale·(term − max)); {−∞, 0} without terms.
struct MaxSum {
  float max, sum;
};

/// The factor that rescales a sum from maximum `from` to maximum `to`.
__device__ inline float rescale(float from, float to, const Exponential& exponential) {
  return from == to ? 1.0f : exponential(from - to);
}

/// Combines the pairs of `width` neighbouring lanes; every lane gets the result.
__device__ inline MaxSum warp_combine(MaxSum own, const Exponential& exponential, int width = kWarpSize) {
  const float max = warp_reduce_max(own.max, width);
  return {max, warp_reduce_sum(own.sum * rescale(own.max, max, exponential), width)};
}

/// Combines `count` ≤ 32 pairs in shared or global memory. Every warp gets the same bits.
__device__ inline MaxSum warp_combine(const MaxSum* pairs, unsigned count, const Exponential& exponential) {
  const unsigned lane = threadIdx.x % kWarpSize;
  return warp_combine(lane < count ? pairs[lane] : MaxSum{-INFINITY, 0}, exponential);
}

/// Combines the pairs of a block's warps, each of which has its own in every lane, with one __syncthreads; `scratch` is shared
/// memory for 32 pairs. Every warp gets the same bits.
__device__ inline MaxSum block_combine(MaxSum of_warp, const Exponential& exponential, MaxSum* scratch) {
  if (threadIdx.x % kWarpSize == 0) scratch[threadIdx.x / kWarpSize] = of_warp;
  __syncthreads();
  return warp_combine(scratch, blockDim.x / kWarpSize, exponential);
}

}  // namespace metallic::cuda
