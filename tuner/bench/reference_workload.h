// The anchor: a fixed piece of work that only lost CPU time or a changed clock makes slower; what it takes tells how the machine
// is.
#pragma once

#include <cstdint>

#include "base/executor.h"

namespace metallic {

/// Arithmetic in registers on all threads of an executor: it uses no memory, so that a reading that takes longer was preempted,
/// ran beside a neighbour on the same core, or at a lower frequency.
class ReferenceWorkload {
 public:
  /// Finds how many rounds take some 75 µs on this machine, in about 2 ms.
  explicit ReferenceWorkload(Executor& executor);

  /// Seconds that the work takes now, after a call that wakes the workers; about 0.1 ms in all. The executor's workers may
  /// spin afterwards, as after any call.
  double read();

 private:
  double time(int64_t rounds);
  Executor& executor_;
  int64_t rounds_ = 1;
};

}  // namespace metallic
