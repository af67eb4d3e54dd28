// The default executor: a pthreadpool, and what starting and joining its threads takes.
#pragma once

#include <memory>

#include "device/cpu/contention.h"
#include "base/executor.h"

struct pthreadpool;

namespace metallic::cpu {

class Pool final : public Executor {
 public:
  /// Runs so many tasks at a time, ≥ 1, on as many threads, the calling one included, or on as many as there are cores for the
  /// process, if those are fewer: of two threads that share a core one waits for the other.
  /// Where others keep the cores, the calling thread runs all tasks for a while, see contention.h; with `patient` it waits for
  /// its threads however long that takes, which is what measuring wants.
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

/// Starting a task on each of the executor's threads and waiting for all of them, in ns: three of four times, of some hundreds in
/// a row or as many as fit in 20 ms. What takes longer than 50 µs is a busy machine, which may become calm: then the guess that
/// stands where nobody measured.
double join_ns(Executor& executor);

}  // namespace metallic::cpu
