// SPDX-License-Identifier: Apache-2.0
// Reads four streams with prefetches; sums the values so that the compiler keeps the loads.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tuner/bench/stream.cc"
#include "tuner/bench/stream.h"

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>

#include "device/cpu/isa.h"
#include "ops/partition.h"

HWY_BEFORE_NAMESPACE();
namespace metallic::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

float sum_of_streams(const float* from, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const size_t stream = count / 4 / (4 * lanes) * (4 * lanes);
  for (size_t i = 0; i < stream; i += 4 * lanes)
    for (size_t lane = 0; lane < 4; ++lane) {
      const float* at = from + lane * stream + i;
      hwy::Prefetch(at + 512);
      s0 = hn::Add(s0, hn::LoadU(d, at));
      s1 = hn::Add(s1, hn::LoadU(d, at + lanes));
      s2 = hn::Add(s2, hn::LoadU(d, at + 2 * lanes));
      s3 = hn::Add(s3, hn::LoadU(d, at + 3 * lanes));
    }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
}

}  // namespace
}  // namespace metallic::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace metallic {
namespace {
HWY_EXPORT(sum_of_streams);
}

void stream_read(const float* from, size_t count, const DeviceInfo& device, Executor& executor) {
  const auto read = cpu::pick(HWY_DISPATCH_TABLE(sum_of_streams), device.cpu().hwy_target);
  const int64_t tasks = executor.threads();
  std::atomic<float> sink = 0;  // keeps the sums alive
  executor.parallel(static_cast<size_t>(tasks), [&](size_t task) {
    const UnitRange part = task_range(static_cast<int64_t>(count / 64), tasks, static_cast<int64_t>(task));
    sink.store(read(from + part.begin * 64, static_cast<size_t>(part.end - part.begin) * 64), std::memory_order_relaxed);
  });
}

}  // namespace metallic
#endif
