// SPDX-License-Identifier: Apache-2.0
// Reference workload: a fixed amount of arithmetic whose time changes only with the clock or with lost CPU time.
#pragma once

#include <cstdint>

#include "base/executor.h"

namespace metallic {

/// Integer arithmetic in registers on all threads of an executor. It uses no memory: a longer reading was preempted, shared a
/// core, or ran at a lower frequency.
class ReferenceWorkload {
 public:
  /// Calibrates the work to about 75 µs on this machine. Takes about 2 ms.
  explicit ReferenceWorkload(Executor& executor);

  /// Seconds of the work now. A first call wakes the workers, so a reading takes about 0.1 ms. The executor's workers may spin
  /// afterwards, as after any call.
  double read();

 private:
  double time(int64_t rounds);
  Executor& executor_;
  int64_t rounds_ = 1;
};

}  // namespace metallic
