// SPDX-License-Identifier: Apache-2.0
// The executor: where a kernel's tasks run. The library has a default one; callers may inject their own.
#pragma once

#include <cstddef>

#include "base/float_state.h"

namespace metallic {

class Executor {
 public:
  using Task = void (*)(void* context, size_t index);

  virtual ~Executor() = default;

  /// How many tasks can run at the same time, ≥ 1; constant over the executor's life.
  virtual int threads() const = 0;

  /// Calls task(context, i) once for each i in [0, count), on any threads, and returns when all have returned.
  virtual void run(size_t count, Task task, void* context) = 0;

  /// The queue of a GPU on which kernels are launched, a cudaStream_t on CUDA; null where tasks run on the CPU's threads.
  virtual void* stream() const { return nullptr; }

  /// Lets worker threads sleep now rather than spin for more work: for whoever is about to leave the cores to others, e.g.
  /// to a library's threads that are timed next. They may need a moment to fall asleep; the next `run` wakes them.
  virtual void rest() {}

  /// `run` for a callable, which is not copied. Each task finds the default floating-point state, whatever its thread had. A
  /// single task runs in the caller's, which the C interface has set.
  template <typename Callable>
  void parallel(size_t count, const Callable& callable) {
    if (count == 1) return callable(size_t{0});
    run(
        count,
        [](void* context, size_t index) {
          const DefaultFloatState state;
          (*static_cast<const Callable*>(context))(index);
        },
        const_cast<Callable*>(&callable));
  }
};

/// Runs every task on the calling thread.
class InlineExecutor : public Executor {
 public:
  int threads() const override { return 1; }
  void run(size_t count, Task task, void* context) override {
    for (size_t i = 0; i < count; ++i) task(context, i);
  }
};

}  // namespace metallic
