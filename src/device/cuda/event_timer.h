// SPDX-License-Identifier: Apache-2.0
// Times runs on a stream with CUDA events, without synchronizing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/executor.h"
#include "base/status.h"

namespace metallic::cuda {

/// A ring of event pairs. Thread-safe; runs allocate nothing and wait for nothing. A run is reported when its slot is reused, or
/// by `finish`. If the stream was idle, a run's time includes its launch latency, some µs.
class EventTimer {
 public:
  /// Gets each run's `what`, and its times in nanoseconds. `begin_ns` is on the host's steady clock, with which the device's
  /// clock is compared once, by `create`.
  using Callback = void (*)(void* context, const void* what, int64_t begin_ns, int64_t time_ns);

  /// Synchronizes the executor's stream. Errors: those of CUDA; Code::unsupported in a build without it.
  static Result<std::unique_ptr<EventTimer>> create(Executor& executor, Callback callback, void* context);
  ~EventTimer();

  /// Call before launching a run on the executor's stream. Returns the slot for `end`, or nothing if the run cannot be timed.
  std::optional<size_t> begin(const void* what, Executor& executor);
  void end(size_t slot, Executor& executor);

  /// Waits for all runs in flight and reports them.
  void finish();

  struct Untimed {
    uint64_t captured = 0;  ///< runs captured in graphs, whose replays are not seen
    uint64_t dropped = 0;   ///< runs while all slots were in flight, or whose events failed
  };
  Untimed untimed() const;

 private:
  struct State;
  explicit EventTimer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace metallic::cuda
