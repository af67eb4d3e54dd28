// Stopwatch: when what is launched on a stream begins and ends by the device's own clock, taken without waiting for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/executor.h"
#include "base/status.h"

namespace metallic::cuda {

/// Safe from several threads. Runs allocate nothing and wait for nothing: what has ended is handed over when its place is used
/// again, or by `finish`. Where the stream had nothing to do, the time to launch a run is part of it, some µs.
class Stopwatch {
 public:
  /// Gets each run's `what`, and its time in nanoseconds on the host's steady clock, to which the device's was compared once.
  using Take = void (*)(void* context, const void* what, int64_t begin_ns, int64_t time_ns);

  /// Waits for the executor's stream. Errors: those of CUDA, and a build without.
  static Result<std::unique_ptr<Stopwatch>> create(Executor& executor, Take take, void* context);
  ~Stopwatch();

  /// A place for the run that is launched next on the executor's stream; nothing where it cannot be timed.
  std::optional<size_t> begin(const void* what, Executor& executor);
  void end(size_t place, Executor& executor);

  /// Waits for all runs that are on their way, and hands them over.
  void finish();

  struct Untimed {
    uint64_t captured = 0;  ///< in graphs, whose replays nobody sees
    uint64_t beyond = 0;    ///< while more runs than there are places were on their way, or an event failed
  };
  Untimed untimed() const;

 private:
  struct State;
  explicit Stopwatch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace metallic::cuda
