// SPDX-License-Identifier: Apache-2.0
// The default executor, a pthreadpool, and the cost of starting and joining its threads.
#pragma once

#include <memory>

#include "base/executor.h"
#include "device/cpu/contention.h"

struct pthreadpool;

namespace metallic::cpu {

class Pool final : public Executor {
 public:
  /// Runs up to `threads` ≥ 1 tasks at a time, on as many threads including the calling one. It starts no more threads than the
  /// process has cores, because two threads on one core would wait for each other. Under contention, the calling thread runs all
  /// tasks for a while, see contention.h. With `patient` it always waits for its threads, as measurements need it.
  explicit Pool(int threads, bool patient = false);
  ~Pool() override;

  int threads() const override { return threads_; }
  void run(size_t count, Task task, void* context) override;
  void rest() override;

 private:
  struct Destroy {
    void operator()(pthreadpool* pool) const;
  };
  int threads_;
  bool patient_;
  std::unique_ptr<pthreadpool, Destroy> pool_;
  Contention contention_;
};

/// The time in ns of starting a task on each of the executor's threads and waiting for all of them: the third quartile of some
/// hundreds of times, or of as many as fit in 20 ms. If it exceeds 50 µs the machine is busy only for the moment, so the default
/// guess is returned.
double join_ns(Executor& executor);

}  // namespace metallic::cpu
