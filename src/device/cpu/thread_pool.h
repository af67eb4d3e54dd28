// SPDX-License-Identifier: Apache-2.0
// The default executor, and the cost of starting and joining its threads.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/executor.h"
#include "device/cpu/contention.h"
#include "device/cpu/workers.h"

namespace metallic::cpu {

class Pool final : public Executor {
 public:
  /// Runs up to `threads` ≥ 1 tasks at a time, on as many threads including the calling one. It starts no more threads than the
  /// process has cores, because two threads on one core would wait for each other, and fewer if the system refuses them. Under
  /// contention, the calling thread runs all tasks for a while, see contention.h. With `patient` it always waits for its threads,
  /// as measurements need it.
  ///
  /// A forked child has none of its parent's threads. Its first run starts threads of its own; it may allocate and takes no lock
  /// that a thread of the parent may hold.
  explicit Pool(int threads, bool patient = false);
  ~Pool() override;

  int threads() const override { return threads_; }
  void run(size_t count, Task task, void* context) override;
  void rest() override;

  /// How many threads the system refused to start and why, for a warning; empty if it refused none.
  const std::string& refusal() const { return refusal_; }

 private:
  // Those of a parent stay, because another thread of the child may be looking at them.
  struct Generation {
    explicit Generation(int threads, const Generation* inherited = nullptr) : workers(threads), parent(inherited) {}
    Workers workers;
    const Generation* parent;
  };

  Workers& workers();

  int threads_;
  bool patient_;
  std::string refusal_;
  std::atomic<Generation*> newest_;
  Contention contention_;
};

/// The time in ns of starting a task on each of the executor's threads and waiting for all of them: the third quartile of some
/// hundreds of times, or of as many as fit in 20 ms. If it exceeds 50 µs the machine is busy only for the moment, so the default
/// guess is returned.
double join_ns(Executor& executor);

}  // namespace metallic::cpu
