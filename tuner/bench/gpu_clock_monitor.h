// GPU watch: reads a GPU's clock while it works; what a fixed number of cycles takes is the anchor there.
#pragma once

#include <optional>
#include <vector>

#include "device/cuda/nvml.h"
#include "profile/noise.h"
#include "tuner/bench/noise_monitor.h"

namespace metallic {

/// The pure part: readings go in; those of an idle GPU, whose clock says nothing, are passed over.
class GpuCalm {
 public:
  void take(const cuda::ClockReading& reading);
  NoiseRecord record() const;

 private:
  NoiseReadings calm_;
  std::vector<cuda::ClockReading> readings_;
};

class GpuWatch {
 public:
  explicit GpuWatch(const DeviceInfo& device);

  /// Call while the GPU works, and the calling thread would wait for it: a reading takes some µs, all of them at most a
  /// twentieth of the time since the watch began.
  void look();

  NoiseRecord record() const { return calm_.record(); }

 private:
  std::optional<cuda::Clocks> clocks_;
  GpuCalm calm_;
  double begin_s_;
  double spent_s_ = 0;
};

}  // namespace metallic
