// SPDX-License-Identifier: Apache-2.0
// GPU clock monitor: the noise monitor of a GPU, whose reference workload is the time that a fixed number of cycles takes at the
// current clock.
#pragma once

#include <optional>
#include <vector>

#include "device/cuda/nvml.h"
#include "profile/noise.h"
#include "tuner/bench/noise_monitor.h"

namespace metallic {

/// The part without a GPU: collects readings, and ignores those of an idle GPU, whose clock is low anyway.
class GpuClockReadings {
 public:
  void add(const cuda::ClockReading& reading);
  NoiseRecord record() const;

 private:
  NoiseReadings noise_;
  std::vector<cuda::ClockReading> readings_;
};

class GpuClockMonitor {
 public:
  explicit GpuClockMonitor(const DeviceInfo& device);

  /// Call while the GPU is busy and this thread would wait for it. A reading takes some µs; all of them take at most a twentieth
  /// of the monitor's lifetime.
  void sample();

  NoiseRecord record() const { return readings_.record(); }

 private:
  std::optional<cuda::GpuClock> clock_;
  GpuClockReadings readings_;
  double begin_s_;
  double spent_s_ = 0;
};

}  // namespace metallic
