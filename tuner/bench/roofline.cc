// SPDX-License-Identifier: Apache-2.0
// Reads, copies and multiply-adds as fast as the machine can.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tuner/bench/roofline.cc"
#include "tuner/bench/roofline.h"

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "device/cpu/isa.h"
#include "ops/partition.h"
#include "tuner/bench/buffer.h"
#include "tuner/bench/clock.h"
#include "tuner/bench/cuda_roofline.h"
#include "tuner/bench/stream.h"
#include "tuner/verify/oracle.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

void copy_stream(const float* from, float* to, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i + lanes <= count; i += lanes) hn::Stream(hn::LoadU(d, from + i), d, to + i);
}

// Twelve independent chains hide the latency of two multiply-adds a cycle on all common cores. Returns the number of operations.
double multiply_add(float* sink, size_t rounds) {
  const hn::ScalableTag<float> d;
  constexpr int kChains = 12;
  using V = hn::Vec<decltype(d)>;
  V chain[kChains];
  for (V& v : chain) v = hn::Set(d, 1e-8f);
  const V factor = hn::Set(d, 0.999f);
  for (size_t r = 0; r < rounds; ++r)
    for (V& v : chain) v = hn::MulAdd(v, factor, factor);
  for (int i = 1; i < kChains; ++i) chain[0] = hn::Add(chain[0], chain[i]);
  *sink = hn::GetLane(hn::SumOfLanes(d, chain[0]));
  return 2.0 * kChains * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic {
namespace {

HWY_EXPORT(copy_stream);
HWY_EXPORT(multiply_add);

// The minimum over several runs, in seconds.
template <typename Callable>
double least_seconds(int runs, const Callable& callable) {
  double least = 1e30;
  for (int i = 0; i < runs; ++i) {
    const double begin_s = now_s();
    callable();
    least = std::min(least, now_s() - begin_s);
  }
  return least;
}

}  // namespace

Roofline measure_roofline(const DeviceInfo& device, Executor& executor) {
#ifdef METALLIC_WITH_CUDA
  if (device.backend == "cuda") return cuda::measure_roofline(device, executor).value_or(Roofline{});
#endif
  const auto threads = static_cast<size_t>(executor.threads());
  const size_t count = static_cast<size_t>(std::clamp<int64_t>(4 * device.cpu().llc_bytes, 64 << 20, 512 << 20)) / sizeof(float);
  Buffer source(count * sizeof(float)), target(count * sizeof(float));
  fill_random(DType::f32, source.data(), count, 1);
  const auto* from = reinterpret_cast<const float*>(source.data());
  auto* to = reinterpret_cast<float*>(target.data());
  std::vector<float> sinks(threads * 16);

  const auto copy = cpu::pick(HWY_DISPATCH_TABLE(copy_stream), device.cpu().hwy_target);
  const auto fma = cpu::pick(HWY_DISPATCH_TABLE(multiply_add), device.cpu().hwy_target);
  const auto copy_all = [&] {
    executor.parallel(threads, [&](size_t task) {
      const UnitRange part =
          task_range(static_cast<int64_t>(count / 64), static_cast<int64_t>(threads), static_cast<int64_t>(task));
      copy(from + part.begin * 64, to + part.begin * 64, static_cast<size_t>(part.end - part.begin) * 64);
    });
  };
  const double bytes = static_cast<double>(count * sizeof(float));
  Roofline roofline;
  roofline.read_bytes_per_s = bytes / least_seconds(7, [&] { stream_read(from, count, device, executor); });
  roofline.copy_bytes_per_s = 2 * bytes / least_seconds(7, copy_all);
  double flops = 0;
  const double seconds = least_seconds(5, [&] {
    std::vector<double> done(threads);
    executor.parallel(threads, [&](size_t task) { done[task] = fma(&sinks[task * 16], 1'000'000); });
    flops = 0;
    for (const double d : done) flops += d;
  });
  roofline.flops_per_s = flops / seconds;
  return roofline;
}

}  // namespace metallic
#endif
