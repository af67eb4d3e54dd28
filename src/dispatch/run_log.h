// SPDX-License-Identifier: Apache-2.0
// The run log: how often plans run and how long that takes, for METALLIC_GPU_PROFILER, METALLIC_TRACE and METALLIC_RECORD.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/process.h"
#include "device/cuda/event_timer.h"
#include "device/info.h"
#include "dispatch/environment.h"
#include "dispatch/record.h"
#include "ops/planner.h"

namespace metallic {

/// Shared by a context and the kernels that it watches. When the last of them is destroyed, it prints the summary on stderr and
/// writes the files.
class RunLog {
 public:
  /// Null if the environment sets none of the three. The device times runs on a stream; their launches are timed too. Rejects a
  /// file that cannot be written, and a METALLIC_RECORD file that exists but is no record.
  static Result<std::shared_ptr<RunLog>> create(const Environment& environment, const DeviceInfo& device, Executor& executor);

  RunLog(const Environment& environment, const DeviceInfo& device);
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;
  ~RunLog();

 private:
  friend class WatchedKernel;
  friend Plan watch(const std::shared_ptr<RunLog>&, Plan);
  using Clock = std::chrono::steady_clock;

  struct Times {
    std::atomic<uint64_t> count{0}, total_ns{0}, least_ns{UINT64_MAX}, most_ns{0};
    void add(uint64_t ns);
    double mean_us() const;
  };
  // The runs of all plans with the same problem and candidate.
  struct Series {
    std::string op, variant, tuning;
    std::atomic<uint64_t> runs{0};
    Times calls, on_device;
  };
  struct Key {
    RecordKey problem;
    std::string candidate;
    auto operator<=>(const Key&) const = default;
  };
  using Entry = std::map<Key, Series>::value_type;
  struct Event {
    const Entry* entry;
    int64_t begin_ns, time_ns;
    int thread;  // kDevice: ran on the device
  };
  static constexpr int kDevice = 0;

  Entry* entry(const Plan& plan);
  void called(Entry& entry, Clock::time_point begin, Clock::time_point end);
  static void ran(void* log, const void* entry, int64_t begin_ns, int64_t time_ns);
  void add_event(const Event& event);
  const Times& times(const Series& series) const { return stopwatch_ ? series.on_device : series.calls; }
  std::string summary() const;
  std::string trace() const;
  Status write_record() const;

  const bool profiler_, timed_;
  const std::string device_;
  const std::string trace_file_, record_file_;
  ForkSafeMutex mutex_;            // guards entries_ and unwatched_ while plans are made; runs take no lock
  std::map<Key, Series> entries_;  // entries never move
  uint64_t unwatched_ = 0;         // plans made while entries_ was full
  std::vector<Event> events_;      // full size from the start; runs claim them by index
  std::atomic<uint64_t> claimed_{0};
  std::unique_ptr<cuda::EventTimer> stopwatch_;  // null if runs are not launched on a stream, or not timed
};

/// A kernel that counts the runs of `kernel` and, if requested, times them. Its runs allocate nothing and take no lock.
Plan watch(const std::shared_ptr<RunLog>& log, Plan plan);

}  // namespace metallic
